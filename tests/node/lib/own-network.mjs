// A server and browsers in a network of their own, in which ways can be made worse without harm to anybody else.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { browser } from "./browser.mjs";
import * as isolated from "./isolated.mjs";

// Where the programs are that change networks, for those who have no such folder in their path.
process.env.PATH += ":/usr/sbin:/sbin";
const text = { type: "string" };
const { values: options } = parseArgs({ options: { server: text, isolated: text } });

/// Prints what was seen, as one line.
export const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/// Goes on in there, in another process. Where the machine makes no networks, it says so and ends.
export async function enter(script) {
  if (options.isolated) return;
  const can = await isolated.possible();
  if (!can) tell({ isolated: false });
  process.exit(can ? await isolated.run(script, process.argv.slice(2), []) : 0);
}

/// The binary that `--server` names, with all of its media at one port.
export async function startServer() {
  const media = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "turnpike-network-"));
  const environment = {
    ...process.env, PORT: "0", ADMIN_PORT: "0", DATA_DIR: folder, MEDIA_PORT: `${media}`, TURNPIKE_MEDIA_SHARDS: "1", TURNPIKE_MEDIA_TCP: "false",
  };
  const server = spawn(options.server, [], { env: environment, stdio: ["ignore", "pipe", "ignore"] });
  process.on("exit", () => {
    server.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  const { gateway, admin } = await new Promise((resolve, reject) => {
    let printed = "";
    server.on("exit", (code) => reject(new Error(`the server ended with ${code}: ${printed}`)));
    server.stdout.on("data", (data) => {
      printed += data;
      const found = printed.match(/^\{"listening":.*\}$/m);
      if (found) resolve(JSON.parse(found[0]).listening);
    });
  });
  return {
    media,
    url: gateway,
    token: (user, rights) =>
      execFileSync(options.server, ["token", "--user", user, "--stream", `live:*=${rights}`], { env: environment, encoding: "utf8" }).trim(),
    /// The sum of a metric.
    async metric(name) {
      const lines = (await (await fetch(`${admin}/metrics`)).text()).split("\n");
      const values = lines.filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
      return values.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
    },
  };
}

/// Runs what looks, and prints what it saw, or why not.
export async function look(steps) {
  const chromium = await browser();
  const seen = { isolated: true };
  try {
    await steps(seen, await chromium.page(), await chromium.page());
  } catch (error) {
    seen.fault = String(error?.message ?? error);
  }
  tell(seen);
  await chromium.close();
  process.exit();
}

export const LAYERS = [{ rid: "l", scaleResolutionDownBy: 4 }, { rid: "m", scaleResolutionDownBy: 2 }, { rid: "h" }];

/// All layers of a publisher's picture flow.
export const flows = (page, name, count) =>
  page.evaluate(([n, c]) => until("all layers flow", async () => {
    const sent = Object.values((await figures(n)).layers);
    return sent.length === c && sent.every(({ sent }) => sent > 0);
  }), [name, count]);
