// A page of this origin watches what the library publishes, in the two ways of the guide; and stays.
import assert from "node:assert/strict";
import { browser } from "./lib/browser.mjs";

async function publish(token) {
  const { connect } = await import("/turnpike.js");
  globalThis.client = connect({ token });
  await client.once("session");
  const media = await navigator.mediaDevices.getUserMedia({ video: true, audio: true });
  await client.publish("live:mine", media);
}

async function simply(token, video) {
// block 1

  return { session, peer };
}

async function throughTurn(token, video) {
  const peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' })
  for (const kind of ['audio', 'video']) peer.addTransceiver(kind, { direction: 'recvonly' })
  peer.ontrack = ({ streams }) => { video.srcObject = streams[0] }
  const headers = { 'Content-Type': 'application/sdp', Authorization: `Bearer ${token}` }
// block 2

}

async function andStay(token, watch) {
  const opened = [];
  const EventSource = class extends globalThis.EventSource {
    constructor(url) {
      super(url);
      opened.push(new Promise((open, failed) => { this.onopen = open; this.onerror = failed; }));
    }
  };
// block 3

  await stay("/whep/live:mine");
  await opened[0];
}

const watching = `
  const shown = async (way) => {
    const video = Object.assign(document.createElement("video"), { muted: true, autoplay: true });
    document.body.append(video);
    const result = await way(token, video);
    const end = Date.now() + 120_000;
    while (video.getVideoPlaybackQuality().totalVideoFrames < 10) {
      if (Date.now() > end) throw new Error("no picture");
      await new Promise((wake) => setTimeout(wake, 50));
    }
    return result;
  };`;

const chromium = await browser();
try {
  const [studio, home] = [await chromium.page(`${process.env.GATEWAY}/`), await chromium.page(`${process.env.GATEWAY}/`)];
  const token = JSON.stringify(process.env.TOKEN);
  await studio.evaluate(`(${publish})(${token})`);
  const pictures = await home.evaluate(`(async () => {
    const token = ${token};
    ${watching}
    const simply = ${simply};
    await shown(simply);
    await shown(${throughTurn});
    await (${andStay})(token, () => shown(simply));
    return document.querySelectorAll("video").length;
  })()`);
  assert.equal(pictures, 3 + (await home.$$("main video")).length);
} finally {
  await chromium.close();
}
