// Browsers before several nodes: they publish and watch with the code of the guide, while nodes leave or are killed. A line of
// JSON on stdin is a command, a line on stdout its outcome.

import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { browser } from "./lib/browser.mjs";

const { values: options } = parseArgs({ options: { publisher: { type: "string" }, viewer: { type: "string" } } });
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const chromium = await browser();
const pages = new Map();

/// What stands before the nodes in production: who connects comes to one of those that take newcomers.
const balancers = new Map();
async function balancer(name, ports) {
  const known = balancers.get(name);
  if (known) return Object.assign(known, { ports });
  const made = { ports };
  const server = createServer((socket) => {
    const port = made.ports[Math.floor(Math.random() * made.ports.length)];
    const node = connect(port, "127.0.0.1");
    for (const [one, two] of [[socket, node], [node, socket]]) {
      one.pipe(two);
      one.on("error", () => two.destroy());
      one.on("close", () => two.destroy());
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  made.url = `http://127.0.0.1:${server.address().port}`;
  balancers.set(name, made);
}

const url = (at) => balancers.get(at).url;
async function page(name) {
  if (!pages.has(name)) pages.set(name, await chromium.page());
  return pages.get(name);
}

const commands = {
  balancer: ({ name, ports }) => balancer(name, ports).then(() => ({})),
  async publish({ name, at, stream }) {
    const of = await page("studio");
    const session = await of.evaluate((a) => guest_publishes(...a), [name, url(at), options.publisher, stream]);
    return { session };
  },
  async watch({ name, at, stream }) {
    const of = await page("home");
    const session = await of.evaluate((a) => guest_watches(...a), [name, url(at), options.viewer, stream]);
    return { session, ...(await of.evaluate((n) => guest_sees(n), name)) };
  },
  async sees({ name, frames }) {
    return (await page("home")).evaluate(([n, f]) => guest_sees(n, f), [name, frames ?? 15]);
  },
  async sessions({ name, of }) {
    return { sessions: await (await page(of)).evaluate((n) => guest_sessions(n), name) };
  },
  async hears({ name, of, state, code }) {
    const heard = ([n, s, c]) => until(`${n} hears ${s}`, () => guest_states(n).some((one) => one.state === s && one.code === c));
    await (await page(of)).evaluate(heard, [name, state, code]);
    return {};
  },
  async states({ name, of }) {
    return { states: await (await page(of)).evaluate((n) => guest_states(n), name) };
  },
};

tell({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    tell(await commands[command.do](command));
  } catch (error) {
    tell({ fault: String(error?.message ?? error) });
  }
}
await chromium.close();
process.exit(0);
