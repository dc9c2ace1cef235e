// What the pages cost whoever opens them: each is loaded some times in a browser that knows nothing of it, and one line is printed
// with what was seen. `--pages` is JSON: a list of `{ name, url, enough_ms }`, or with a `folder` from which it is served. A page is loaded
// until it was painted within `enough_ms` once, at least and at most as often as is said: others may use the machine as well.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { chromium } from "playwright-core";

const text = { type: "string" };
const { values: options } = parseArgs({ options: { pages: text, least: text, most: text, pictures: text } });
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const KINDS = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".json": "application/json" };
/** Nothing is on its way any more, and nothing moves. */
const SETTLED_MS = 500;

/** As whatever serves a folder of files does: compressed, where whoever asks takes it. */
async function serve(folder) {
  const packed = new Map();
  const server = createServer(async (request, response) => {
    const name = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    const file = path.join(folder, name.endsWith("/") ? `${name}index.html` : name);
    try {
      if (!file.startsWith(folder)) throw new Error("outside");
      if (!packed.has(file)) packed.set(file, gzipSync(await readFile(file)));
      response.setHeader("content-type", KINDS[path.extname(file)] ?? "application/octet-stream");
      response.setHeader("content-encoding", "gzip");
      response.end(packed.get(file));
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, url: `http://127.0.0.1:${server.address().port}/` };
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

/** Runs in the page, from its first moment. */
function observe() {
  globalThis.layoutShift = 0;
  globalThis.shifted = [];
  new PerformanceObserver((list) => {
    for (const { value, hadRecentInput, sources = [] } of list.getEntries()) {
      if (hadRecentInput) continue;
      globalThis.layoutShift += value;
      globalThis.shifted.push(...sources.map(({ node }) => `${node?.nodeName} ${node?.id ?? ""} ${node?.className ?? ""}`.trim()));
    }
  }).observe({ type: "layout-shift", buffered: true });
}

const measured = () => ({
  paint_ms: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null,
  layout_shift: globalThis.layoutShift,
  shifted: globalThis.shifted,
  blocking: performance.getEntriesByType("resource").filter((one) => one.renderBlockingStatus === "blocking").map(({ name }) => new URL(name).pathname),
});

/** One load with nothing known before. */
async function load(url, look) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  const network = await context.newCDPSession(page);
  const seen = { bytes: 0, requests: 0, third_parties: [] };
  const own = new URL(url).origin;
  network.on("Network.requestWillBeSent", ({ request }) => {
    if (!/^https?:/.test(request.url)) return;
    seen.requests++;
    if (new URL(request.url).origin !== own) seen.third_parties.push(request.url);
  });
  // As they came over the wire, heads included.
  network.on("Network.loadingFinished", ({ encodedDataLength }) => (seen.bytes += encodedDataLength));
  await network.send("Network.enable");
  await page.addInitScript(observe);
  await page.goto(url);
  await page.waitForLoadState("networkidle");
  await page.waitForTimeout(SETTLED_MS);
  const figures = { ...(await page.evaluate(measured)), ...seen, errors };
  const more = look ? await look(page) : {};
  await context.close();
  return { ...figures, ...more };
}

const looks = { light: ["light", { width: 1280, height: 900 }], dark: ["dark", { width: 1280, height: 900 }], phone: ["dark", { width: 390, height: 844 }] };

/** Serious faults for those who do not see or do not use a mouse, and pages that are wider than the screen. */
const judge = (name) => async (page) => {
  const faults = [];
  for (const [look, [colorScheme, size]] of Object.entries(looks)) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(size);
    // The book asks for the colours once, when it is loaded.
    await page.reload();
    await page.waitForLoadState("networkidle");
    await page.evaluate(axe);
    const found = await page.evaluate(async () => {
      const { violations } = await axe.run(document, { resultTypes: ["violations"] });
      return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(", ")}`);
    });
    faults.push(...found.map((fault) => `${look}: ${fault}`));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) faults.push(`${look}: ${wide} px wider than the screen`);
    if (options.pictures) await page.screenshot({ path: `${options.pictures}/page-${name}-${look}.png` });
  }
  return { faults };
};

try {
  for (const { name, url: given, folder, enough_ms: enough } of JSON.parse(options.pages)) {
    const served = folder ? await serve(folder) : null;
    const url = served?.url ?? given;
    const loads = [];
    const isEnough = () => loads.length >= Number(options.least) && loads.some(({ paint_ms: paint }) => paint !== null && paint <= enough);
    while (!isEnough() && loads.length < Number(options.most)) loads.push(await load(url));
    const { faults } = await load(url, judge(name));
    served?.server.close();
    const worst = (key) => Math.max(...loads.map((one) => one[key]));
    const all = (key) => [...new Set(loads.flatMap((one) => one[key]))];
    const line = {
      page: name,
      paints_ms: loads.map(({ paint_ms: paint }) => (paint === null ? null : Math.round(paint))),
      bytes: worst("bytes"),
      requests: worst("requests"),
      layout_shift: worst("layout_shift"),
      shifted: all("shifted"),
      third_parties: all("third_parties"),
      blocking: loads.at(-1).blocking,
      errors: all("errors"),
      faults,
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
} finally {
  await browser.close();
}
