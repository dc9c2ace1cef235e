// The client library in Chromium, on the page that brings it: a stream is sent and watched, also past a lost connection.
// Each case prints one line.

import { parseArgs } from "node:util";
import { browser } from "./lib/browser.mjs";

const text = { type: "string" };
const { values: options } = parseArgs({ options: { url: text, publisher: text, viewer: text } });
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const chromium = await browser();

try {
  const [studio, home] = [await chromium.page(`${options.url}/`), await chromium.page(`${options.url}/`)];
  for (const page of [studio, home]) page.on("pageerror", (error) => tell({ fault: String(error) }));
  const enter = (page, token) =>
    page.evaluate(async (token) => {
      const { connect } = await import("/turnpike.js");
      globalThis.client = connect({ token });
      await client.once("session");
    }, token);
  await enter(studio, options.publisher);
  await enter(home, options.viewer);

  const sent = await studio.evaluate(async () => {
    const media = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 360 }, audio: true });
    globalThis.publication = await client.publish("live:library", media, { simulcast: true });
    globalThis.states = [];
    publication.on("state", (state) => states.push(state));
    return publication.session !== null;
  });
  tell({ case: "published", sent });

  const watch = await home.evaluate(async () => {
    globalThis.subscription = await client.subscribe("live:library");
    globalThis.screen_ = Object.assign(document.createElement("video"), { muted: true, autoplay: true });
    screen_.srcObject = subscription.media;
    subscription.on("media", (media) => (screen_.srcObject = media));
    document.body.append(screen_);
    // What a fault is looked for in.
    globalThis.received = async () => {
      const figures = [...(await subscription.stats()).values()].find(({ type, kind }) => type === "inbound-rtp" && kind === "video");
      const { packetsReceived, framesReceived, framesDecoded, keyFramesDecoded, framesDropped, pliCount, freezeCount } = figures ?? {};
      return JSON.stringify({ packetsReceived, framesReceived, framesDecoded, keyFramesDecoded, framesDropped, pliCount, freezeCount, paused: screen_.paused, seen: document.visibilityState });
    };
    globalThis.frames = async (wanted, when) => {
      const start = screen_.getVideoPlaybackQuality().totalVideoFrames;
      const end = Date.now() + 40_000;
      while (screen_.getVideoPlaybackQuality().totalVideoFrames < start + wanted) {
        if (Date.now() > end) throw new Error(`${screen_.getVideoPlaybackQuality().totalVideoFrames - start} frames ${when}: ${await received()}`);
        await new Promise((wake) => setTimeout(wake, 20));
      }
      return wanted;
    };
    return { frames: await frames(20, "at first"), tracks: subscription.media.getTracks().map(({ kind }) => kind).sort() };
  });
  tell({ case: "watched", ...watch });

  const cut = await home.evaluate(async () => {
    const { session } = subscription;
    client.interrupt(300);
    const during = await frames(10, "while it is cut");
    if (client.status !== "online") await client.once("session");
    await client.request("ping", {});
    await subscription.layer({ quality: "low" });
    return { during, after: await frames(10, "in low quality"), same: session === subscription.session, ended: subscription.ended };
  });
  tell({ case: "cut", ...cut });

  const replaced = await studio.evaluate(async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
    const paint = canvas.getContext("2d");
    setInterval(() => {
      paint.fillStyle = `hsl(${Date.now() % 360} 90% 50%)`;
      paint.fillRect(0, 0, 320, 180);
    }, 40);
    const [track] = canvas.captureStream(25).getVideoTracks();
    await publication.replaceTrack(track);
    return states.some(({ viewers }) => viewers === 1);
  });
  tell({ case: "another picture", viewer_counted: replaced, frames: await home.evaluate(() => frames(10, "of another picture")) });

  // A viewer that is still at the first description when somebody else goes live is offered the rest behind its answer.
  await home.evaluate(() => {
    const { prototype } = RTCPeerConnection;
    const { setRemoteDescription } = prototype;
    const goesOn = new Promise((goOn) => (globalThis.goOn = goOn));
    return new Promise((stands) => {
      prototype.setRemoteDescription = async function (description) {
        prototype.setRemoteDescription = setRemoteDescription;
        stands();
        await goesOn;
        return setRemoteDescription.call(this, description);
      };
      globalThis.opening = client.subscribe("live:library");
    });
  });
  await studio.evaluate(async () => {
    globalThis.besides = await client.publish("live:library", await navigator.mediaDevices.getUserMedia({ video: true }));
  });
  const met = await home.evaluate(async () => {
    goOn();
    const late = await opening;
    const end = Date.now() + 20_000;
    const seen = () => ({ tracks: late.media?.getTracks().length, told: late.state?.state });
    while ((seen().tracks !== 3 || seen().told !== "live") && Date.now() < end) await new Promise((wake) => setTimeout(wake, 20));
    await late.stop();
    return seen();
  });
  tell({ case: "somebody else begins", ...met });
  await studio.evaluate(() => besides.stop());

  const publisher = await studio.evaluate(() => publication.stop().then(() => publication.ended));
  const viewer = await home.evaluate(async () => {
    const end = Date.now() + 20_000;
    while (subscription.state?.state !== "paused" && Date.now() < end) await new Promise((wake) => setTimeout(wake, 20));
    return subscription.state?.state;
  });
  tell({ case: "stopped", viewer, publisher });
} catch (error) {
  tell({ fault: String(error.stack ?? error) });
} finally {
  await chromium.close();
}
