// A browser publishes and watches from a network that lets through nothing but TCP to the gateway and to a TURN server.
// Each step prints one line with what it saw; a step that fails says why.

import { createHmac } from "node:crypto";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { browser } from "./lib/browser.mjs";
import * as isolated from "./lib/isolated.mjs";
import { permissions } from "./lib/turn-client.mjs";

const text = { type: "string" };
const { values: options } = parseArgs({
  options: { url: text, turn: text, secret: text, previous: text, publisher: text, viewer: text, peers: text, isolated: text },
});
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const ports = [new URL(options.url).port, new URL(options.turn.replace("turn:", "http://")).port].map(Number);

if (!options.isolated && (await isolated.possible())) {
  process.exit(await isolated.run(fileURLToPath(import.meta.url), process.argv.slice(2), ports));
}
if (options.isolated) await isolated.open(options.isolated, ports);
// Where the network cannot be cut, the browser is told to use nothing else.
const policy = options.isolated ? "all" : "relay";
tell({ step: "network", isolated: Boolean(options.isolated) });

const chromium = await browser();
const page = await chromium.page();
page.on("pageerror", (error) => tell({ pageerror: String(error) }));
await page.addScriptTag({ path: fileURLToPath(new URL("lib/turn-page.js", import.meta.url)) });

/// As Turnpike makes them, but of any time.
function minted(seconds, secret = options.secret) {
  const username = `${Math.floor(Date.now() / 1000) + seconds}:alice`;
  const credential = createHmac("sha1", secret).update(username).digest("base64");
  return { urls: options.turn, username, credential };
}

const steps = {
  async publish() {
    const servers = await page.evaluate(
      ([u, t, p]) => publishByTurn("publisher", u, t, "live:behind", p), [options.url, options.publisher, policy]);
    return { servers, ...(await page.evaluate(() => route("publisher"))) };
  },
  async watch() {
    const url = `${options.url}/whep/live:behind`;
    const servers = await page.evaluate(([u, t, p]) => watchByTurn("viewer", u, t, p), [url, options.viewer, policy]);
    const { frames } = await page.evaluate(() => plays("viewer", { frames: 30 }));
    // Browsers ask so without a token: nobody is known whose credential it would be.
    const preflight = (await fetch(url, { method: "OPTIONS" })).headers.get("link");
    return { servers, preflight, frames, ...(await page.evaluate(() => route("viewer"))) };
  },
  async peers() {
    return permissions(ports[1], minted(60), options.peers.split(","));
  },
  async credentials() {
    const tried = (server) => page.evaluate((one) => gather([one]), server);
    return {
      good: await tried(minted(60)),
      previous: await tried(minted(60, options.previous)),
      expired: await tried(minted(-1)),
      forged: await tried({ ...minted(60), credential: minted(61).credential }),
    };
  },
};
for (const [step, go] of Object.entries(steps)) {
  try {
    tell({ step, ...(await go()) });
  } catch (error) {
    tell({ step, fault: String(error?.message ?? error) });
  }
}
await chromium.close();
process.exit();
