// Of what a publisher sends, one packet in twenty is lost on the way to the relay: what is asked for again, and what is missing in
// the end at a viewer whose own way loses nothing.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { LAYERS, enter, flows, look, startServer } from "./lib/own-network.mjs";

await enter(fileURLToPath(import.meta.url));
const server = await startServer();
const LOSS_PERCENT = 5;

const nft = (line) => execFileSync("nft", [line], { encoding: "utf8" });
/// At the receiving end: whoever sends does not know of it.
function lose() {
  nft("add table ip lossy");
  nft("add chain ip lossy way { type filter hook input priority 0 ; }");
  // Packets of media begin with 128 to 191; what looks for the path and secures it goes through.
  const media = `udp dport ${server.media} @th,64,8 >= 128 @th,64,8 <= 191`;
  nft(`add rule ip lossy way ${media} numgen random mod 100 < ${LOSS_PERCENT} counter drop`);
  nft(`add rule ip lossy way ${media} counter`);
}
function lost() {
  const [dropped, passed] = [...nft("list table ip lossy").matchAll(/counter packets (\d+)/g)].map(([, count]) => Number(count));
  return { dropped, passed };
}

await look(async (seen, studio, home) => {
  const figuresOf = (page, name) => page.evaluate((n) => figures(n), name);
  const metrics = async () => ({
    asked: await server.metric("turnpike_media_nacks_sent_total"),
    keyframes: await server.metric("turnpike_media_keyframes_requested_total"),
  });
  lose();
  for (const [kind, layers] of [["single", undefined], ["simulcast", LAYERS]]) {
    const stream = `live:${kind}`;
    await studio.evaluate(([n, u, t, l]) => whipPublish(n, u, t, { layers: l, width: 1280, height: 720 }), [
      kind, `${server.url}/whip/${stream}`, server.token("studio", "publish"), layers,
    ]);
    if (layers) await flows(studio, kind, 3);
    await home.evaluate(([n, u, t]) => whepWatch(n, u, t), [kind, `${server.url}/whep/${stream}`, server.token("home", "subscribe")]);
    await home.evaluate((n) => plays(n, { frames: 30 }), kind);
    const before = { ...lost(), ...(await metrics()), sent: await again(studio, kind), shown: (await figuresOf(home, kind)).video };
    await home.evaluate(([n, frames]) => until(`${n} goes on`, async () => (await figures(n)).video.framesDecoded >= frames, 60_000), [
      kind, before.shown.framesDecoded + 300,
    ]);
    const after = { ...lost(), ...(await metrics()), sent: await again(studio, kind), shown: (await figuresOf(home, kind)).video };
    const more = (of) => of(after) - of(before);
    seen[kind] = {
      lost: more((at) => at.dropped),
      sent_again: more((at) => at.sent),
      asked: more((at) => at.asked),
      keyframes: more((at) => at.keyframes),
      missing: more((at) => at.shown.packetsLost),
      frames: more((at) => at.shown.framesDecoded),
      dropped: more((at) => at.shown.framesDropped),
      freezes: more((at) => at.shown.freezeCount),
    };
    await home.evaluate(([n, t]) => remove(n, t), [kind, server.token("home", "subscribe")]);
    await studio.evaluate(([n, t]) => remove(n, t), [kind, server.token("studio", "publish")]);
  }
});

/// Packets of the picture that the publisher has sent once more.
function again(page, name) {
  return page.evaluate(async (n) => {
    const reports = [...(await peers.get(n).pc.getStats()).values()];
    const video = reports.filter(({ type, kind }) => type === "outbound-rtp" && kind === "video");
    return video.reduce((sum, report) => sum + (report.retransmittedPacketsSent ?? 0), 0);
  }, name);
}
