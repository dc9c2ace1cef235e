// The dashboard in Chromium, as an operator uses it, with two nodes and stock clients: each step prints one line with what was seen.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { io } from "socket.io-client";
import { browser } from "./lib/browser.mjs";
import { token } from "./lib/token.mjs";

const text = { type: "string" };
const { values: options } = parseArgs({ options: { gateways: text, admins: text, secret: text, pictures: text } });
const [gateways, admins] = [options.gateways.split(","), options.admins.split(",")];
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const chromium = await browser();
const faults = [];
const BROKEN_MS = 30_000;
const ROOM = "chat:lobby";
const now = () => Math.floor(Date.now() / 1000);
const signed = (user, role = "user") => token({ sub: user, role, iat: now(), exp: now() + 3600, jti: `of-${user}`, rooms: [{ match: "*", can: ["join", "send", "history", "presence", "typing"] }] }, { secret: options.secret });

/// Over all nodes and labels.
async function metric(name) {
  let sum = 0;
  for (const admin of admins) {
    const lines = (await (await fetch(`${admin}/metrics`)).text()).split("\n");
    for (const line of lines) if (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) sum += Number(line.split(" ").at(-1));
  }
  return sum;
}

async function connected(user, gateway) {
  const socket = io(gateway, { transports: ["websocket"], forceNew: true, auth: { token: signed(user) } });
  socket.on("closing", ({ code }) => (socket.closedWith = code));
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", (error) => (socket.close(), reject(error)));
  });
  await socket.timeout(BROKEN_MS).emitWithAck("room:join", { room: ROOM });
  return socket;
}

/** Serious faults for those who do not see or do not use a mouse. */
async function accessible(page) {
  await page.evaluate(await readFile(axe, "utf8"));
  return page.evaluate(async () => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(", ")}`);
  });
}

const looks = { light: ["light", { width: 1280, height: 900 }], dark: ["dark", { width: 1280, height: 900 }], phone: ["dark", { width: 390, height: 844 }] };
async function pictures(page, what) {
  const found = [];
  await page.evaluate(() => scrollTo(0, 0));
  for (const [name, [colorScheme, size]] of Object.entries(looks)) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(size);
    found.push(...(await accessible(page)).map((fault) => `${what}, ${name}: ${fault}`));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    const isThere = await page.evaluate(() => document.getElementById("desk").hidden || document.getElementById("ban").checkVisibility());
    if (!isThere) found.push(`${what}, ${name}: nobody can be banned`);
    if (wide > 0) found.push(`${what}, ${name}: ${wide} px wider than the screen`);
    if (options.pictures) await page.screenshot({ path: `${options.pictures}/dashboard-${what}-${name}.png`, fullPage: what !== "ask" });
  }
  await page.setViewportSize(looks.light[1]);
  await page.emulateMedia({ colorScheme: "light" });
  return found;
}

const number = (words) => Number(words.replaceAll(",", "").split(/[^0-9.]/)[0]);
const shown = async (page, tile) => number(await page.textContent(`#tile-${tile} .tile-number`));
const noted = (page, tile) => page.textContent(`#tile-${tile} .tile-note`);

/// Until it holds; how it ended.
async function eventually(what, holds) {
  const until = Date.now() + BROKEN_MS;
  for (;;) {
    const seen = await holds();
    if (seen !== false && seen !== null && seen !== undefined) return seen;
    if (Date.now() > until) throw new Error(`${what}: not within ${BROKEN_MS} ms`);
    await pause(200);
  }
}

try {
  const page = await chromium.page("about:blank");
  const bytes = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  // What the API refuses, Chromium writes down as well.
  page.on("console", (message) => message.type() === "error" && !message.text().includes("status of 401") && faults.push(message.text()));
  page.on("response", async (response) => !response.url().endsWith("/live") && bytes.push((await response.body().catch(() => "")).length));
  await page.goto(`${admins[0]}/dashboard`);
  await page.waitForSelector("#enter:not([hidden])");
  await page.waitForLoadState("networkidle");
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  const door = await pictures(page, "door");
  await page.fill("#token", `${signed("oscar", "admin")}x`);
  await page.press("#token", "Enter");
  await page.waitForSelector("#enter-problem:not([hidden])");
  const refused = await page.textContent("#enter-problem");
  await page.fill("#token", signed("oscar", "admin"));
  await page.press("#token", "Enter");
  await page.waitForSelector("#status.online");
  await page.waitForSelector("#node-rows tr:nth-child(2)");
  tell({ step: "door", refused, paint_ms: Math.round(paint), bytes: bytes.reduce((sum, one) => sum + one, 0), faults: door });

  const sockets = [];
  for (let index = 0; index < 6; index++) sockets.push(await connected(`user-${index}`, gateways[index % 2]));
  const mallory = await connected("mallory", gateways[1]);
  const pathBefore = await page.getAttribute("#tile-messages .line", "d");
  let sending = true;
  const flood = (async () => {
    for (let count = 0; sending; count++) {
      await sockets[count % sockets.length].emitWithAck("message:send", { room: ROOM, body: `${count}` });
      await pause(40);
    }
  })();
  const most = await eventually("messages move", async () => {
    const rate = await shown(page, "messages");
    return rate > 3 && rate;
  });
  const deliveries = await eventually("deliveries move", async () => {
    const rate = await shown(page, "deliveries");
    return rate > most && rate;
  });
  const lag = await eventually("the lag is known", async () => {
    const words = await page.textContent("#tile-lag .tile-number");
    return words !== "–" && words;
  });
  const connections = await eventually("the connections agree", async () => {
    const value = await shown(page, "connections");
    return value === (await metric("turnpike_gateway_connections")) && value;
  });
  // One of them in the demo page, and live.
  const trudy = await chromium.page("about:blank");
  await trudy.goto(`${gateways[1]}/`);
  await trudy.fill("#name", "trudy");
  await trudy.press("#name", "Enter");
  await trudy.waitForSelector("#status.online", { state: "attached" });
  await trudy.click("[data-source=test]");
  await trudy.waitForSelector("#on-air:not([hidden])");
  await page.bringToFront();
  const publishers = await eventually("the publisher is counted", async () => {
    const [, count] = /(\d+) publishing/.exec(await noted(page, "streams")) ?? [];
    return Number(count) > 0 && Number(count);
  });
  await pause(5_000);
  const overview = await pictures(page, "overview");
  sending = false;
  await flood;
  const messages = await eventually("the messages agree", async () => {
    const value = number(await noted(page, "messages"));
    return value > 0 && value === (await metric("turnpike_gateway_messages_total")) && value;
  });
  // A node that was busy for some seconds is shown as silent, and then is well again.
  const states = await eventually("all nodes are shown to be well", async () => {
    const all = await page.$$eval("#node-rows .tag", (tags) => tags.map((tag) => tag.textContent));
    return all.every((state) => state === "healthy") && all;
  });
  const moved = pathBefore !== (await page.getAttribute("#tile-messages .line", "d"));
  tell({ step: "numbers", most, deliveries, lag, connections, publishers, messages, moved, states, faults: overview });

  // Everything from here on by keyboard alone.
  await page.selectOption("#find-kind", "users");
  await page.fill("#find-id", "mallory");
  await page.press("#find-id", "Enter");
  await page.waitForSelector("#found .record li");
  const record = await page.$$eval("#found .record li span", (all) => all.map((line) => line.textContent));
  const found = await pictures(page, "found");
  await page.focus("#found button:has-text('Ban')");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#confirm[open]");
  await page.keyboard.press("Escape");
  const still = mallory.connected && (await page.$$eval("#bans .row", (all) => all.length)) === 0;
  await page.focus("#found button:has-text('Ban')");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#confirm[open]");
  await page.fill("#confirm-reason", "a test of the dashboard");
  const asked = await pictures(page, "ask");
  await page.press("#confirm-reason", "Enter");
  await eventually("mallory is out", () => mallory.closedWith);
  await page.waitForSelector("#bans strong:has-text('mallory')");
  tell({ step: "ban", record, still, code: mallory.closedWith, ban: await page.textContent("#bans .row"), faults: [...found, ...asked] });

  const find = async (kind, id) => {
    await page.selectOption("#find-kind", kind);
    await page.fill("#find-id", id);
    await page.press("#find-id", "Enter");
    await page.waitForSelector(`#found h3:has-text("${id}")`);
  };
  const press = async (button) => {
    await page.focus(`#found button:has-text("${button}"), #node-rows button[aria-label="${button}"]`);
    await page.keyboard.press("Enter");
    await page.waitForSelector("#confirm[open]");
  };
  const sure = async () => {
    await page.focus("#confirm-yes");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#confirm:not([open])", { state: "attached" });
  };
  await find("rooms", ROOM);
  const room = await pictures(page, "room");
  await page.focus("#found .link:has-text('user-0')");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#found h3:has-text('user-0')");
  const followed = await page.evaluate(() => document.activeElement.textContent);
  await find("connections", sockets[0].id);
  await find("streams", "live:trudy");
  const stream = await page.textContent("#found");
  const streamed = await pictures(page, "stream");
  await find("users", "user-1");
  await press("Disconnect");
  await sure();
  await eventually("user-1 is disconnected", () => sockets[1].closedWith);
  await find("users", "user-3");
  await press("Revoke tokens");
  await sure();
  await eventually("user-3 is out", () => sockets[3].closedWith);
  await find("users", "trudy");
  await press("Ban");
  await sure();
  await trudy.waitForSelector("#banner:has-text('banned')");
  const banned = await trudy.textContent("#banner");
  if (options.pictures) await trudy.screenshot({ path: `${options.pictures}/dashboard-banned-demo.png` });
  await trudy.close();
  await page.bringToFront();
  tell({ step: "deeds", followed, stream, disconnected: sockets[1].closedWith, revoked: sockets[3].closedWith, banned, faults: [...room, ...streamed] });

  await page.click("#audit");
  await page.waitForSelector("#records .row");
  const records = await page.$$eval("#records .row", (all) => all.map((row) => row.textContent));
  await page.click("#bans li:has-text('mallory') button");
  await page.click("#confirm-yes");
  await page.waitForSelector("#bans li:has-text('mallory')", { state: "detached" });
  // The other node hears of it a moment later.
  const again = await eventually("mallory is let in again", () => connected("mallory", gateways[1]).catch(() => null));
  tell({ step: "lift", came: again.connected, records: records.filter((row) => row.includes("oscar")), faults: await pictures(page, "security") });

  // Whoever comes now, by a link as development prints it, sees what was before.
  const other = await chromium.page(`${admins[0]}/dashboard`);
  await other.waitForSelector("#enter:not([hidden])");
  await other.goto(`${admins[0]}/dashboard#token=${signed("olga", "admin")}`);
  await other.waitForSelector("#status.online");
  const past = await eventually("the past", async () => {
    const points = ((await other.getAttribute("#tile-connections .line", "d")) ?? "").split(/[ML]/).length - 1;
    return points >= 2 && points;
  });
  tell({ step: "past", past, address: other.url().split("/").at(-1), faults: [] });
  await other.close();
  await page.bringToFront();

  // A node that is not that of the page: its clients come back at the other one, and the page goes on.
  const sentAway = once(again, "disconnect");
  await page.focus("#node-rows button[aria-label='Drain n2']");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#confirm[open]");
  const question = await page.textContent("#confirm-text");
  await page.keyboard.press("Escape");
  await page.waitForSelector("#confirm:not([open])", { state: "attached" });
  const isHere = again.connected;
  await press("Drain n2");
  const drainAsked = await pictures(page, "drain");
  // Whoever looks now and then may miss it.
  await page.evaluate(() => {
    const look = () => {
      const row = [...document.querySelectorAll("#node-rows tr")].find(({ textContent }) => textContent.startsWith("n2"));
      globalThis.wasDraining ||= row?.querySelector(".tag").textContent.includes("draining");
    };
    new MutationObserver(look).observe(document.getElementById("node-rows"), { childList: true, subtree: true, characterData: true });
  });
  await sure();
  await eventually("n2 is shown to drain", () => page.evaluate(() => globalThis.wasDraining || null));
  await sentAway;
  await page.waitForSelector("#node-rows tr:has-text('n2')", { state: "detached" });
  const place = await page.evaluate(() => document.activeElement.id);
  await page.click("#audit");
  await page.waitForSelector("#records .row:has-text('POST nodes/')");
  tell({ step: "elsewhere", place, question, isHere, code: again.closedWith, record: await page.textContent("#records .row:has-text('POST nodes/')"), status: await page.textContent("#status-text"), faults: drainAsked });

  await page.click("#node-rows button");
  const alone = await page.textContent("#confirm-text");
  await page.click("#confirm-yes");
  await page.waitForSelector("#node-rows .tag:has-text('draining')");
  await page.waitForSelector("#status.offline");
  await page.waitForSelector("#faults:has-text('n1 was drained')");
  tell({ step: "drain", alone, faults: faults.filter((fault) => !fault.includes("ERR_")) });
  for (const socket of [...sockets, mallory, again]) socket.close();
} catch (error) {
  tell({ fault: String(error.stack ?? error), faults });
} finally {
  await chromium.close();
  process.exit(0);
}
