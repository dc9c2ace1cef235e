// A browser publishes and watches from a network that lets through nothing but TCP, to the gateway and to the relay itself.
// Each step prints one line with what it saw; a step that fails says why.

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { browser } from "./lib/browser.mjs";
import * as isolated from "./lib/isolated.mjs";

const text = { type: "string" };
const { values: options } = parseArgs({
  options: { url: text, media: text, publisher: text, viewer: text, isolated: text },
});
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const ports = [new URL(options.url).port, options.media].map(Number);

if (!options.isolated) {
  const can = await isolated.possible();
  if (!can) tell({ step: "network", isolated: false });
  process.exit(can ? await isolated.run(fileURLToPath(import.meta.url), process.argv.slice(2), ports) : 0);
}
await isolated.open(options.isolated, ports);
tell({ step: "network", isolated: true });

const chromium = await browser();
const page = await chromium.page();
page.on("pageerror", (error) => tell({ pageerror: String(error) }));
await page.addScriptTag({ path: fileURLToPath(new URL("lib/turn-page.js", import.meta.url)) });

const steps = {
  async publish() {
    await page.evaluate(([u, t]) => publishByTurn("publisher", u, t, "live:narrow", "all"), [options.url, options.publisher]);
    return page.evaluate(() => route("publisher"));
  },
  async watch() {
    const url = `${options.url}/whep/live:narrow`;
    await page.evaluate(([u, t]) => watchByTurn("viewer", u, t, "all"), [url, options.viewer]);
    const { frames } = await page.evaluate(() => plays("viewer", { frames: 30 }));
    return { frames, ...(await page.evaluate(() => route("viewer"))) };
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
