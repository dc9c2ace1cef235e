// In Chromium, on the page that brings the library.
import assert from "node:assert/strict";
import { browser } from "./lib/browser.mjs";

async function both(token) {
  const { connect } = await import("/turnpike.js");
  const client = connect({ token });
  await client.once("session");
  const shown = [];
  const show = (what) => shown.push(what);
  const video = Object.assign(document.createElement("video"), { muted: true, autoplay: true });
  document.body.append(video);

// block 1

  video.srcObject ??= subscription.media;
  const end = Date.now() + 120_000;
  while (video.getVideoPlaybackQuality().totalVideoFrames < 10) {
    if (Date.now() > end) throw new Error("no picture");
    await new Promise((wake) => setTimeout(wake, 50));
  }
  client.close();
  return shown;
}

const chromium = await browser();
try {
  const page = await chromium.page(`${process.env.GATEWAY}/`);
  const shown = await page.evaluate(`(${both})(${JSON.stringify(process.env.TOKEN)})`);
  assert(shown.includes(1), `one viewer was counted: ${shown}`);
} finally {
  await chromium.close();
}
