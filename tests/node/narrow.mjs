// The way from the relay to a viewer becomes narrow, and wide again: the viewer gets another layer of the picture each time.
// Server and browser are in a network of their own, so that nobody else is slowed down. One line says what was seen.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { browser } from "./lib/browser.mjs";
import * as isolated from "./lib/isolated.mjs";

const text = { type: "string" };
const { values: options } = parseArgs({ options: { server: text, isolated: text } });
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");

if (!options.isolated) {
  const can = await isolated.possible();
  if (!can) tell({ isolated: false });
  process.exit(can ? await isolated.run(fileURLToPath(import.meta.url), process.argv.slice(2), []) : 0);
}

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/// What the relay sends is let through at this rate; everything else is as fast as it can be.
function narrow(media, kbits) {
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
  tc(`filter add dev lo parent 1: protocol ip u32 match ip protocol 17 0xff match ip sport ${media} 0xffff flowid 1:20`);
}

const media = await freePort();
const folder = mkdtempSync(join(tmpdir(), "turnpike-narrow-"));
const environment = {
  ...process.env, PORT: "0", ADMIN_PORT: "0", DATA_DIR: folder, MEDIA_PORT: `${media}`, TURNPIKE_MEDIA_SHARDS: "1", TURNPIKE_MEDIA_TCP: "false",
};
const server = spawn(options.server, [], { env: environment, stdio: ["ignore", "pipe", "ignore"] });
process.on("exit", () => {
  server.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});
const url = await new Promise((resolve, reject) => {
  let printed = "";
  server.on("exit", (code) => reject(new Error(`the server ended with ${code}: ${printed}`)));
  server.stdout.on("data", (data) => {
    printed += data;
    const found = printed.match(/"gateway":"([^"]+)"/);
    if (found) resolve(found[1]);
  });
});
const token = (user, rights) =>
  execFileSync(options.server, ["token", "--user", user, "--stream", `live:*=${rights}`], { env: environment, encoding: "utf8" }).trim();

const chromium = await browser();
const [studio, home] = [await chromium.page(), await chromium.page()];
const layers = [{ rid: "l", scaleResolutionDownBy: 4 }, { rid: "m", scaleResolutionDownBy: 2 }, { rid: "h" }];
const seen = { isolated: true };
try {
  await studio.evaluate(([u, t, l]) => whipPublish("studio", u, t, { layers: l, width: 1280, height: 720 }), [
    `${url}/whip/live:narrow`, token("studio", "publish"), layers,
  ]);
  await studio.evaluate(() => until("three layers", async () => {
    const sent = Object.values((await figures("studio")).layers);
    return sent.length === 3 && sent.every(({ sent }) => sent > 0);
  }, 30_000));
  await home.evaluate(([u, t]) => whepWatch("home", u, t), [`${url}/whep/live:narrow`, token("home", "subscribe")]);
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
  narrow(media, seen.narrowed_to);
  seen.narrow = await reaches([640, 320], 30_000);
  await home.evaluate(() => plays("home", { frames: 60 }));
  narrow(media, 0);
  seen.wide_again = await reaches([1280], 60_000);
} catch (error) {
  seen.fault = String(error?.message ?? error);
}
tell(seen);
await chromium.close();
process.exit();
