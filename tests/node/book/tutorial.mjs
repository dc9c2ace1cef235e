// Two people in Chromium who use the page of the tutorial: a chat, a cut, live video. Each step prints one line.

import { parseArgs } from "node:util";
import { browser } from "../lib/browser.mjs";

const text = { type: "string" };
const { values: options } = parseArgs({ options: { url: text, pictures: text } });
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const chromium = await browser();

async function enter(name) {
  const page = await chromium.page("about:blank");
  page.setDefaultTimeout(120_000);
  page.on("console", (message) => message.type() === "error" && process.stderr.write(`${name}: ${message.text()}\n`));
  page.on("pageerror", (error) => tell({ fault: `${name}: ${error}` }));
  await page.goto(`${options.url}/?user=${name}`);
  await page.waitForSelector("#status:has-text('online')");
  return page;
}

const say = async (page, words) => {
  await page.fill("#text", words);
  await page.press("#text", "Enter");
};
const seen = (page, words) => page.waitForSelector(`#log li:has-text("${words}")`);
const lines = (page) => page.$$eval("#log li", (all) => all.map((line) => line.textContent));

try {
  const [ann, ben] = [await enter("ann"), await enter("ben")];
  await say(ann, "Is anybody there?");
  await seen(ben, "ann: Is anybody there?");
  await say(ben, "I am.");
  await seen(ann, "ben: I am.");
  tell({ step: "chat", lines: await lines(ann) });

  await ben.click("#cut");
  await ben.waitForSelector("#status:has-text('offline')");
  await say(ben, "said without a connection");
  await say(ann, "missed");
  await seen(ann, "ben: said without a connection");
  await seen(ben, "ann: missed");
  const said = await lines(ben);
  tell({ step: "cut", lines: said, doubled: said.length - new Set(said).size, same: JSON.stringify(await lines(ann)) === JSON.stringify(said) });

  await ann.click("#live");
  await ann.waitForSelector("#status:has-text('on air')");
  await ben.click("#watch");
  await ben.waitForFunction(() => document.querySelector("#screen").getVideoPlaybackQuality().totalVideoFrames > 20, null, { timeout: 120_000 });
  if (options.pictures) await ben.screenshot({ path: `${options.pictures}/tutorial.png` });
  tell({ step: "live", frames: await ben.evaluate(() => document.querySelector("#screen").getVideoPlaybackQuality().totalVideoFrames) });
} catch (error) {
  tell({ fault: String(error.stack ?? error) });
} finally {
  await chromium.close();
}
