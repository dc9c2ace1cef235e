// A browser publishes and others watch. Each step prints one line with what it saw; a step that fails says why.

import { parseArgs } from "node:util";
import { browser } from "./lib/browser.mjs";

const { values: options } = parseArgs({
  options: { url: { type: "string" }, publisher: { type: "string" }, viewer: { type: "string" }, steps: { type: "string" } },
});
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const chromium = await browser({ anyCertificate: options.url.startsWith("https:") });
const [studio, home] = [await chromium.page(), await chromium.page()];
for (const page of [studio, home]) page.on("pageerror", (error) => tell({ pageerror: String(error) }));
const endpoint = (kind, stream) => `${options.url}/${kind}/${stream}`;
const publish = (stream, how = {}, name = stream) =>
  studio.evaluate(([n, u, t, h]) => whipPublish(n, u, t, h), [name, endpoint("whip", stream), options.publisher, how]);
const watch = (stream, name = stream, how = {}) =>
  home.evaluate(([n, u, t, h]) => whepWatch(n, u, t, h), [name, endpoint("whep", stream), options.viewer, how]);
const plays = (name, how = {}) => home.evaluate(([n, h]) => plays(n, h), [name, how]);
const end = (page, name, token) => page.evaluate(([n, t]) => remove(n, t), [name, token]);

const steps = {
  async whip_to_whep() {
    await publish("live:one");
    const { first_frame_ms } = await watch("live:one");
    return { first_frame_ms, ...(await plays("live:one")) };
  },
  async together() {
    // Side by side, so that a busy machine is busy for both.
    await home.evaluate(() => direct("direct"));
    await plays("direct", { frames: 60 });
    const [relayed_ms, direct_ms] = await home.evaluate(() => Promise.all([apart("live:one"), apart("direct")]));
    return { relayed_ms, direct_ms };
  },
  async codecs() {
    const seen = {};
    for (const codec of ["vp8", "vp9", "h264", "av1"]) {
      const stream = `live:${codec}`;
      await publish(stream, { codec, width: 320, height: 180, audio: false });
      await watch(stream, stream, { audio: false });
      seen[codec] = (await plays(stream, { sound: false })).frames;
      await end(home, stream, options.viewer);
      await end(studio, stream, options.publisher);
    }
    return seen;
  },
  async late() {
    const times = [];
    for (let index = 0; index < 30; index += 1) {
      const { first_frame_ms } = await watch("live:one", `late-${index}`);
      times.push(Math.round(first_frame_ms));
      await end(home, `late-${index}`, options.viewer);
    }
    times.sort((a, b) => a - b);
    return { p50_ms: times[14], p95_ms: times[28], longest_ms: times[29] };
  },
  async restart() {
    const { etag_changed } = await home.evaluate(([n, t]) => restart(n, t), ["live:one", options.viewer]);
    await plays("live:one");
    const publisher = await studio.evaluate(([n, t]) => restart(n, t), ["live:one", options.publisher]);
    await plays("live:one", { frames: 60 });
    return { etag_changed: etag_changed && publisher.etag_changed };
  },
  async simulcast() {
    const layers = [{ rid: "l", scaleResolutionDownBy: 4 }, { rid: "m", scaleResolutionDownBy: 2 }, { rid: "h" }];
    await publish("live:layers", { layers, width: 1280, height: 720 });
    await watch("live:layers");
    await plays("live:layers");
    const sent = await studio.evaluate(() => figures("live:layers"));
    return { layers: sent.layers, width: (await plays("live:layers")).width };
  },
  async reload() {
    await end(studio, "live:one", options.publisher);
    await publish("live:one");
    return plays("live:one", { frames: 30 });
  },
  async signaled() {
    const url = options.url;
    await studio.evaluate(([u, t]) => publish("camera", u, t, "live:room"), [url, options.publisher]);
    await home.evaluate(([u, t]) => watch("watcher", u, t, "live:room"), [url, options.viewer]);
    const first = await plays("watcher");
    const told = await home.evaluate(() => until("the state", () => state("watcher")?.tracks.length === 2 && state("watcher")));
    const viewers = await studio.evaluate(() => until("a viewer", () => state("camera")?.viewers === 1 && state("camera").audience));
    // A second publisher: its tracks are offered to who is there.
    await studio.evaluate(([u, t]) => publish("second", u, t, "live:room", { width: 320, height: 180 }), [url, options.publisher]);
    const videos = await home.evaluate(() => until("a second picture", () => peers.get("watcher").videos.length === 2 && 2));
    await home.evaluate(() => until("both move", async () => {
      const all = peers.get("watcher").videos.map((video) => video.videoWidth);
      return all.every((width) => width > 0) && all;
    }));
    // Nothing more comes of what is muted, and it goes on afterwards.
    await studio.evaluate(() => request_of("camera", "media:mute", { kind: "video", muted: true }));
    await home.evaluate(() => until("it is told", () => state("watcher").tracks.some(({ muted }) => muted)));
    await studio.evaluate(() => request_of("camera", "media:mute", { kind: "video", muted: false }));
    await plays("watcher", { frames: 30 });
    await studio.evaluate(() => request_of("second", "media:stop", {}));
    await home.evaluate(() => until("it is gone", () => state("watcher").tracks.length === 2));
    await home.evaluate(() => request_of("watcher", "media:stop", {}));
    await studio.evaluate(() => until("nobody watches", () => state("camera").viewers === 0));
    await studio.evaluate(() => request_of("camera", "media:stop", {}));
    return { frames: first.frames, state: told.state, audience: viewers, videos };
  },
  async layers() {
    const layers = [{ rid: "l", scaleResolutionDownBy: 4 }, { rid: "m", scaleResolutionDownBy: 2 }, { rid: "h" }];
    await studio.evaluate(([u, t, h]) => publish("stage", u, t, "live:stage", h), [options.url, options.publisher, { layers, width: 1280, height: 720 }]);
    await home.evaluate(([u, t]) => watch("seat", u, t, "live:stage"), [options.url, options.viewer]);
    await plays("seat", { sound: false });
    // The publisher's own estimate has to find room for all of them.
    await studio.evaluate(() => until("three layers", async () => {
      const sent = (await figures("stage")).layers;
      return ["l", "m", "h"].every((rid) => sent[rid]?.width > 0);
    }));
    const seen = {};
    for (const [rid, width] of [["l", 320], ["h", 1280], ["m", 640], ["h", 1280]]) {
      await home.evaluate((r) => request_of("seat", "media:layer", { rid: r }), rid);
      await home.evaluate(([r, w]) => until(`layer ${r}`, async () => (await figures("seat")).video.frameWidth === w), [rid, width]);
      await plays("seat", { sound: false });
      seen[rid] = width;
    }
    await home.evaluate(() => request_of("seat", "media:layer", { quality: "off" }));
    await home.evaluate(() => until("it stops", async () => {
      const before = (await figures("seat")).video.framesReceived;
      await new Promise((resolve) => setTimeout(resolve, 500));
      return (await figures("seat")).video.framesReceived === before;
    }));
    await home.evaluate(() => request_of("seat", "media:layer", { quality: "auto" }));
    await plays("seat", { sound: false });
    const { freezes } = await plays("seat", { sound: false });
    return { seen, freezes };
  },
  async stop() {
    const viewer = await end(home, "live:one", options.viewer);
    const publisher = await end(studio, "live:one", options.publisher);
    return { viewer, publisher };
  },
};

const wanted = options.steps?.split(",") ?? Object.keys(steps);
for (const step of wanted) {
  try {
    tell({ step, ...(await steps[step]()) });
  } catch (error) {
    tell({ step, fault: String(error?.message ?? error) });
  }
}
await chromium.close();
