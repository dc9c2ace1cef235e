// Chromium with a camera and a microphone that are not there, and a page to run in.

import { createServer } from "node:http";
import { readFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { guide } from "./guide.mjs";

const here = new URL(".", import.meta.url);
const FILES = {
  "/media-page.js": new URL("media-page.js", here),
  "/socket.io.js": new URL("../node_modules/socket.io-client/dist/socket.io.min.js", here),
};

/// A server on a port of its own: what the pages of a customer would be.
async function serve() {
  const server = createServer(async (request, response) => {
    const file = FILES[request.url];
    if (file || request.url === "/guide.js") {
      response.setHeader("content-type", "text/javascript");
      response.end(file ? await readFile(file) : await guide());
    } else {
      response.setHeader("content-type", "text/html");
      response.end(`<!doctype html><title>test</title><body><script src="/socket.io.js"></script><script src="/guide.js"></script><script src="/media-page.js"></script>`);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/// `anyCertificate`: of a test's own authority, which nobody else knows.
export async function browser({ anyCertificate = false } = {}) {
  const server = await serve();
  const folder = await mkdtemp(join(tmpdir(), "turnpike-browser-"));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    // Reaching it means that something is broken.
    timeout: 120_000,
    permissions: ["camera", "microphone"],
    args: [
      "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
      "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
      "--autoplay-policy=no-user-gesture-required", "--disable-features=WebRtcHideLocalIpsWithMdns",
      ...(anyCertificate ? ["--ignore-certificate-errors"] : []),
    ],
  });
  const url = `http://127.0.0.1:${server.address().port}/`;
  return {
    /** Of this server, or of another one. */
    async page(address = url) {
      const page = await context.newPage();
      await page.goto(address);
      return page;
    },
    async close() {
      await context.close();
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
