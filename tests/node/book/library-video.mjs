// In Chromium, on the page that brings the library.
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
  // Viewers are counted a moment after the first of them sees something.
  while (video.getVideoPlaybackQuality().totalVideoFrames < 10 || !shown.includes(1)) {
    if (Date.now() > end) throw new Error(`${video.getVideoPlaybackQuality().totalVideoFrames} frames, viewers ${shown}`);
    await new Promise((wake) => setTimeout(wake, 50));
  }
  client.close();
}

const chromium = await browser();
try {
  const page = await chromium.page(`${process.env.GATEWAY}/`);
  await page.evaluate(`(${both})(${JSON.stringify(process.env.TOKEN)})`);
} finally {
  await chromium.close();
}
