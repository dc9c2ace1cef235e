// The way from the relay to a viewer becomes narrow, and wide again: the viewer gets another layer of the picture each time.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { LAYERS, enter, flows, look, startServer } from "./lib/own-network.mjs";

await enter(fileURLToPath(import.meta.url));
const server = await startServer();

/// What the relay sends is let through at this rate; everything else is as fast as it can be.
function narrow(kbits) {
  const tc = (line) => execFileSync("tc", line.split(" "), { stdio: "inherit" });
  try {
    execFileSync("tc", ["qdisc", "del", "dev", "lo", "root"], { stdio: "ignore" });
  } catch {
    // There was none.
  }
  if (!kbits) return;
  tc("qdisc add dev lo root handle 1: htb default 10");
  tc("class add dev lo parent 1: classid 1:10 htb rate 10gbit quantum 60000");
  tc(`class add dev lo parent 1: classid 1:20 htb rate ${kbits}kbit burst 6k quantum 6000`);
  // A third of a second, as a home's router has.
  tc(`qdisc add dev lo parent 1:20 bfifo limit ${Math.round((kbits * 1000) / 8 / 3)}`);
  tc(`filter add dev lo parent 1: protocol ip u32 match ip protocol 17 0xff match ip sport ${server.media} 0xffff flowid 1:20`);
}

await look(async (seen, studio, home) => {
  await studio.evaluate(([u, t, l]) => whipPublish("studio", u, t, { layers: l, width: 1280, height: 720 }), [
    `${server.url}/whip/live:narrow`, server.token("studio", "publish"), LAYERS,
  ]);
  await flows(studio, "studio", 3);
  await home.evaluate(([u, t]) => whepWatch("home", u, t), [`${server.url}/whep/live:narrow`, server.token("home", "subscribe")]);
  const reaches = (widths, limit) =>
    home.evaluate(async ([wanted, limitMs]) => {
      const begun = performance.now();
      await until(`a width of ${wanted}`, async () => wanted.includes((await figures("home")).video.frameWidth), limitMs);
      const { video } = await figures("home");
      return { width: video.frameWidth, after_ms: Math.round(performance.now() - begun), freezes: video.freezeCount, frozen_s: video.totalFreezesDuration };
    }, [widths, limit]);
  const sent = async () => Object.fromEntries(Object.entries((await studio.evaluate(() => figures("studio"))).layers).map(([rid, l]) => [rid, l.sent]));
  seen.wide = await reaches([1280], 30_000);
  const [first, at] = [await sent(), Date.now()];
  await home.evaluate(() => plays("home", { frames: 60 }));
  const later = await sent();
  // So narrow that the best layer does not fit, as far as the publisher has come with it.
  const kbits = (rid) => ((later[rid] - first[rid]) * 8) / (Date.now() - at);
  seen.kbits = { l: Math.round(kbits("l")), m: Math.round(kbits("m")), h: Math.round(kbits("h")) };
  seen.narrowed_to = Math.round(Math.max(kbits("m") * 1.5, 250));
  narrow(seen.narrowed_to);
  seen.narrow = await reaches([640, 320], 30_000);
  await home.evaluate(() => plays("home", { frames: 60 }));
  narrow(0);
  seen.wide_again = await reaches([1280], 60_000);
});
