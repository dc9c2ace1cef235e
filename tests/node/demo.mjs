// The demo page in Chromium, as a newcomer uses it: each step prints one line with what was seen.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { browser } from "./lib/browser.mjs";

const text = { type: "string" };
const { values: options } = parseArgs({ options: { url: text, pictures: text } });
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const chromium = await browser();
const faults = [];

async function enter(name, size) {
  const page = await chromium.page("about:blank");
  page.on("pageerror", (error) => faults.push(`${name}: ${error}`));
  page.on("console", (message) => message.type() === "error" && faults.push(`${name}: ${message.text()}`));
  if (size) await page.setViewportSize(size);
  await page.goto(`${options.url}/`);
  await page.fill("#name", name);
  await page.press("#name", "Enter");
  await page.waitForSelector("#status.online", { state: "attached" });
  return page;
}

const say = async (page, words) => {
  await page.fill("#text", words);
  await page.press("#text", "Enter");
};
const lines = (page) => page.$$eval(".log:not([hidden]) li[data-from] .text", (all) => all.map((line) => line.textContent));
const seen = (page, words) => page.waitForSelector(`.log:not([hidden]) li:has-text("${words}")`);

/** Serious faults for those who do not see or do not use a mouse. */
async function accessible(page) {
  // The page's policy lets no script of ours in; the driver's own way does.
  await page.evaluate(await readFile(axe, "utf8"));
  return page.evaluate(async () => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(", ")}`);
  });
}

const looks = { light: ["light", { width: 1280, height: 800 }], dark: ["dark", { width: 1280, height: 800 }], phone: ["light", { width: 390, height: 800 }] };
async function pictures(page, what) {
  const found = [];
  for (const [name, [colorScheme, size]] of Object.entries(looks)) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(size);
    found.push(...(await accessible(page)).map((fault) => `${what}, ${name}: ${fault}`));
    if (options.pictures) await page.screenshot({ path: `${options.pictures}/${what}-${name}.png` });
  }
  await page.setViewportSize(looks.light[1]);
  await page.emulateMedia({ colorScheme: "light" });
  return found;
}

/** What passes too quickly to be judged, and is worth a look. */
async function glimpse(page, what, look = "light") {
  if (!options.pictures) return;
  const [colorScheme, size] = looks[look];
  await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
  await page.setViewportSize(size);
  await page.screenshot({ path: `${options.pictures}/${what}-${look}.png` });
}

try {
  const door = await chromium.page("about:blank");
  const bytes = [];
  // As they came over the wire.
  door.on("requestfinished", async (request) => bytes.push((await request.sizes()).responseBodySize));
  await door.goto(`${options.url}/`);
  await door.waitForLoadState("networkidle");
  const paint = await door.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  tell({ step: "door", faults: await pictures(door, "door"), paint_ms: Math.round(paint), bytes: bytes.reduce((sum, one) => sum + one, 0) });

  const [ann, ben] = [await enter("ann"), await enter("ben")];
  await ann.bringToFront();
  await say(ann, "Is anybody there?");
  await seen(ben, "Is anybody there?");
  await ben.bringToFront();
  await ben.waitForTimeout(100);
  await say(ben, "I am.");
  await seen(ann, "I am.");
  await ann.waitForSelector(".own .ticks.read");
  await ben.waitForTimeout(3_000);
  await ben.type("#text", "and I");
  await ann.waitForSelector("#typing:has-text('ben is typing')");
  await glimpse(ann, "typing");
  await ben.fill("#text", "");
  await ann.click("#people-button");
  const members = await ann.$$eval("#members li .item-name", (all) => all.map((member) => member.textContent).sort());
  await ben.selectOption("#mood", "busy");
  await ann.waitForSelector("#members .mood.busy");
  await ann.setInputFiles("#file", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("notes") });
  await seen(ben, "notes.txt");
  const shot = await ben.screenshot({ type: "jpeg", quality: 60 });
  await ann.setInputFiles("#file", { name: "window.jpg", mimeType: "image/jpeg", buffer: shot });
  await ben.waitForFunction(() => document.querySelector(".file img")?.naturalWidth > 0);
  const [download] = await Promise.all([ben.waitForEvent("download"), ben.click(".file:has-text('notes.txt')")]);
  const file = `${download.suggestedFilename()}: ${await readFile(await download.path(), "utf8")}`;
  await glimpse(ann, "people");
  tell({ step: "chat", members, file, faults: await pictures(ann, "chat") });
  await ann.setViewportSize(looks.phone[1]);
  await ann.click("#menu");
  await glimpse(ann, "menu", "phone");
  await ann.keyboard.press("Escape");
  await ann.setViewportSize(looks.light[1]);

  // Away until all of it was said, however long that takes here.
  let letBack;
  const isSaid = new Promise((done) => (letBack = done));
  await ben.route("**/dev/token", (route) => isSaid.then(() => route.continue()));
  await ben.click("#interrupt");
  await ben.waitForSelector("#banner:not([hidden])");
  await say(ben, "said without a connection");
  for (const number of [1, 2, 3]) await say(ann, `missed ${number}`);
  const banner = await ben.textContent("#banner");
  await glimpse(ben, "offline", "phone");
  await glimpse(ben, "offline", "dark");
  await glimpse(ben, "offline");
  letBack();
  await ben.waitForSelector("#status.online");
  await seen(ann, "said without a connection");
  await seen(ben, "missed 3");
  await seen(ben, "3 missed messages came in order");
  const [anns, bens] = [await lines(ann), await lines(ben)];
  tell({ step: "cut", banner, same: JSON.stringify(anns) === JSON.stringify(bens), lines: bens });

  for (let number = 1; number <= 60; number++) await say(ann, `long ago ${number}`);
  await seen(ben, "long ago 60");
  const late = await enter("late");
  await seen(late, "long ago 60");
  const before = (await lines(late)).length;
  await late.evaluate(() => (document.querySelector(".log:not([hidden])").scrollTop = 0));
  await seen(late, "Is anybody there?");
  const all = await lines(late);
  tell({ step: "history", before, after: all.length, doubled: all.length - new Set(all).size });

  await ann.click("[data-source=test]");
  await ann.waitForSelector("#on-air:not([hidden])");
  await ben.waitForSelector("#streams button");
  await ben.click("#streams button");
  const frames = () => ben.evaluate(() => document.querySelector(".screen video").getVideoPlaybackQuality().totalVideoFrames);
  await ben.waitForFunction(() => document.querySelector(".screen video")?.getVideoPlaybackQuality().totalVideoFrames > 20, null, { timeout: 30_000 });
  await ben.waitForSelector(".figures:has-text('kbit/s')");
  await ann.waitForFunction(() => document.getElementById("air-text").textContent.includes("1 watching"));
  const first = await frames();
  await ben.selectOption(".stage-bar select", "low");
  await ben.waitForFunction((first) => document.querySelector(".screen video").getVideoPlaybackQuality().totalVideoFrames > first + 20, first, { timeout: 30_000 });
  await say(ben, "beside the picture");
  const figures = await ben.textContent(".figures");
  tell({ step: "live", figures, faults: [...(await pictures(ben, "live")), ...(await pictures(ann, "on-air"))] });
  await ann.click("#air-end");
  await ann.waitForSelector("#go:not([hidden])");
  await ben.waitForSelector(".stage-note:not([hidden])");
  tell({ step: "over", note: await ben.textContent(".stage-note"), faults });
} catch (error) {
  tell({ fault: String(error.stack ?? error), faults });
} finally {
  await chromium.close();
}
