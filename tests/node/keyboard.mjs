// The demo page by keyboard alone, in three windows: nothing here points at anything. Every stop of the keyboard has a name that is
// heard, is seen, and is never lost; each step prints one line with what was there.

import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { browser } from "./lib/browser.mjs";

const { values: options } = parseArgs({ options: { url: { type: "string" } } });
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const chromium = await browser();
const faults = [];
const BROKEN_MS = 30_000;
/// How often what may just be going is looked at again, and how long between.
const [LOOKS_MAX, LOOK_MS] = [20, 50];
/// More stops than any page here has.
const STOPS_MAX = 60;
/// In the list of what is live, not in that of rooms.
const STREAM = /^live:ann ?\d+ watching$/;
const PHONE = { width: 390, height: 800 };

/// What has the keyboard, as somebody sees it.
function held() {
  const { activeElement: element } = document;
  const style = getComputedStyle(element);
  const { left, right, top, bottom, width, height } = element.getBoundingClientRect();
  const [x, y] = [(Math.max(0, left) + Math.min(innerWidth, right)) / 2, (Math.max(0, top) + Math.min(innerHeight, bottom)) / 2];
  const onTop = document.elementFromPoint(x, y);
  return {
    isLost: element === document.body,
    isMarked: element.matches(":focus-visible") && style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 2,
    isSeen: width > 0 && height > 0 && onTop !== null && (element.contains(onTop) || onTop.contains(element)),
    where: `${element.tagName.toLowerCase()}#${element.id}.${element.className}`,
  };
}

class Person {
  stops = new Set();

  static async come(name) {
    const person = new Person();
    person.name = name;
    person.page = await chromium.page("about:blank");
    person.page.on("pageerror", (error) => faults.push(`${name}: ${error}`));
    person.page.on("console", (message) => message.type() === "error" && faults.push(`${name}: ${message.text()}`));
    person.tree = await person.page.context().newCDPSession(person.page);
    // What slides in is where it will be.
    await person.page.emulateMedia({ reducedMotion: "reduce" });
    await person.page.goto(`${options.url}/`);
    return person;
  }

  /// What is heard of it: its name, role and whether it is read out when it changes.
  async heardOf(expression = "document.activeElement") {
    const { result } = await this.tree.send("Runtime.evaluate", { expression });
    const { nodes: [node] } = await this.tree.send("Accessibility.getPartialAXTree", { objectId: result.objectId, fetchRelatives: false });
    const live = node.properties?.find(({ name }) => name === "live")?.value.value;
    return { name: node.name?.value ?? "", role: node.role?.value ?? "", live, isIgnored: node.ignored };
  }

  /// Where the keyboard is; what is wrong with it is a fault.
  async at(after) {
    let [seen, heard] = [await this.page.evaluate(held), await this.heardOf()];
    // What goes while it is looked at is nothing to be heard of; what stays and is kept from whoever listens is a fault.
    for (let looks = 0; heard.isIgnored && !seen.isLost && looks < LOOKS_MAX; looks++) {
      await this.page.waitForTimeout(LOOK_MS);
      [seen, heard] = [await this.page.evaluate(held), await this.heardOf()];
    }
    const { name, role } = heard;
    const fault = (what) => faults.push(`${this.name}, ${after}: ${seen.where} ${what}`);
    if (seen.isLost) fault("is all that is left: the keyboard is nowhere");
    else {
      if (name.trim() === "") fault(`has no name (${role})`);
      if (!seen.isMarked) fault("is not marked");
      if (!seen.isSeen) fault("is not to be seen");
      this.stops.add(`${role} ${name}`);
    }
    return { ...seen, name, role };
  }

  async press(key) {
    await this.at(`before ${key}`);
    await this.page.keyboard.press(key);
    // Behind the last stop and before the first one is the browser's own window.
    const isAtEdge = key.endsWith("Tab") && (await this.page.evaluate(held)).isLost;
    if (isAtEdge) await this.page.keyboard.press(key);
    return this.at(`after ${key}`);
  }

  async type(words) {
    await this.page.keyboard.type(words);
  }

  /// From stop to stop until one is called that.
  async reach(name, key = "Tab") {
    const isIt = name instanceof RegExp ? (one) => name.test(one) : (one) => one.startsWith(name);
    for (let count = 0; count < STOPS_MAX; count++) {
      const at = await this.press(key);
      if (isIt(at.name)) return at;
    }
    throw new Error(`${this.name} comes to no "${name}" by ${key}: ${[...this.stops].join(", ")}`);
  }

  async push(name, key) {
    await this.reach(name, key);
    return this.press("Enter");
  }

  async say(words) {
    await this.type(words);
    await this.press("Enter");
  }

  sees(what) {
    return this.page.waitForSelector(what, { timeout: BROKEN_MS });
  }

  async until(what, holds) {
    const end = Date.now() + BROKEN_MS;
    for (let at = await this.at(what); ; at = await this.at(what)) {
      if (await holds(at)) return at;
      if (Date.now() > end) throw new Error(`${this.name}: ${what}, not within ${BROKEN_MS} ms; at ${JSON.stringify(at)}`);
      await this.page.waitForTimeout(100);
    }
  }

  async hears(words) {
    await this.until(`hears ${words}`, async () => (await this.page.textContent("#heard")).includes(words));
  }
}

async function signedIn(name) {
  const person = await Person.come(name);
  const door = (await person.at("at the door")).name;
  await person.type(name);
  await person.page.keyboard.press("Enter");
  await person.page.waitForSelector("#status.online", { state: "attached", timeout: BROKEN_MS });
  // Its name is drawn with the next picture of the page.
  const { name: inside } = await person.until("is in the lobby", ({ name }) => name === "Message to chat:lobby");
  return { person, door, inside };
}

try {
  const { person: ann, door, inside } = await signedIn("ann");
  const { person: ben } = await signedIn("ben");
  tell({ step: "door", door, inside });

  await ben.say("Does anybody hear me?");
  await ann.hears("ben: Does anybody hear me?");
  const voice = await ann.heardOf("document.getElementById('heard')");
  await ann.say("I hear you");
  await ben.hears("ann: I hear you");
  // A file: the window for choosing one is the browser's own.
  await ann.reach("Attach a file", "Shift+Tab");
  const [chooser] = await Promise.all([ann.page.waitForEvent("filechooser"), ann.press("Enter")]);
  await chooser.setFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("notes") });
  await ben.hears("notes.txt");
  tell({ step: "chat", voice, attached: (await ann.at("after a file was chosen")).name });

  await ben.reach("Messages", "Shift+Tab");
  const rows = [];
  for (const key of ["ArrowUp", "ArrowUp", "ArrowUp", "End"]) rows.push((await ben.press(key)).name);
  await ann.reach("Message to");
  await ann.say("one more");
  await ben.hears("one more");
  const stayed = (await ben.at("while another one came")).name;
  await ben.reach("Save notes.txt");
  const [download] = await Promise.all([ben.page.waitForEvent("download"), ben.press("Enter")]);
  const file = await readFile(await download.path(), "utf8");
  tell({ step: "messages", rows, stayed, file });

  await ann.push("Cut for 5 s");
  await ann.sees("#banner:not([hidden])");
  const offline = (await ann.at("offline")).name;
  await ann.say("without a connection");
  await ann.page.waitForSelector("#status.online", { state: "attached", timeout: BROKEN_MS });
  await ben.hears("without a connection");
  await ann.hears("Back.");
  await ann.reach("Name of a room");
  await ann.say("chat:garden");
  const room = (await ann.until("is in the garden", ({ name }) => name === "Message to chat:garden")).name;
  await ann.push("Leave room", "Shift+Tab");
  const left = (await ann.until("is in the lobby", ({ name }) => name === "Message to chat:lobby")).name;
  await ann.push("2 here");
  await ann.sees("#members li");
  const closed = (await ann.press("Escape")).name;
  const isClosed = !(await ann.page.isVisible("#members"));
  tell({ step: "rooms", offline, room, left, closed, isClosed });

  await ann.push("Test picture");
  const onAir = (await ann.until("is on air", ({ name }) => name === "Mute")).name;
  await ben.page.waitForSelector("#streams button", { state: "attached", timeout: BROKEN_MS });
  await ben.push(STREAM);
  const watching = (await ben.until("watches", ({ name }) => name.startsWith("Watching"))).name;
  const frames = () => ben.page.evaluate(() => document.querySelector(".screen video").getVideoPlaybackQuality().totalVideoFrames);
  await ben.until("sees it move", async () => (await frames()) > 20);
  const quality = [(await ben.reach("Quality")).role];
  for (let count = 0; count < 3; count++) await ben.press("ArrowDown");
  quality.push(await ben.page.evaluate(() => document.activeElement.value));
  const before = await frames();
  await ben.until("sees it move in low quality", async () => (await frames()) > before + 10);
  const sound = [];
  await ben.reach("Sound on");
  for (let count = 0; count < 2; count++) sound.push((await ben.press("Enter")).name);
  await ann.press("Enter");
  const muted = (await ann.until("is muted", ({ name }) => name === "Unmute")).name;
  await ben.sees(".stage-note:has-text('sound is off')");
  await ben.push("Stop watching");
  const after = (await ben.at("after watching")).name;
  tell({ step: "live", onAir, watching, quality, sound, muted, after });

  // What somebody stands at goes away.
  await ben.reach(STREAM);
  await ann.reach("End");
  await ann.press("Enter");
  const ended = (await ann.until("is not on air", ({ name }) => name === "Go live")).name;
  await ben.until("sees nobody live", async () => (await ben.page.textContent("#streams")).includes("Nobody is live"));
  const gone = (await ben.at("when the stream is gone")).name;
  tell({ step: "over", ended, gone });

  await ben.page.setViewportSize(PHONE);
  await ben.page.waitForFunction(() => document.activeElement.id === "menu", null, { timeout: BROKEN_MS });
  await ben.press("Enter");
  const menu = [(await ben.at("in the menu")).name, (await ben.press("Escape")).name];
  menu.push((await ben.press("Enter")).name, (await ben.press("Enter")).name);
  await ben.push(/^\d here/);
  menu.push((await ben.at("who is here")).name, (await ben.press("Escape")).name);
  tell({ step: "phone", menu });

  await ann.push("Sign out");
  tell({ step: "out", outside: (await ann.at("outside")).name, stops: [...new Set([...ann.stops, ...ben.stops])].length, faults });
} catch (error) {
  tell({ fault: String(error.stack ?? error), faults });
} finally {
  await chromium.close();
}
