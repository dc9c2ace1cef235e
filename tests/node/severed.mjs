// One client on each of two nodes, in one room. On "send" the first sends so many messages, all on their way at once; a line
// says when all are acknowledged, and another when the second has had all of them, or what it has after a while.

import { parseArgs } from "node:util";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";

const { values: options } = parseArgs({
  options: { nodes: { type: "string" }, token: { type: "string" }, count: { type: "string" } },
});
const count = Number(options.count);
const room = "severed";

async function enter(port) {
  const socket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"], auth: { token: options.token } });
  const client = { socket, seqs: [], bodies: [], closings: [] };
  socket.on("message", ({ seq, body }) => (client.seqs.push(seq), client.bodies.push(body)));
  // What ends without a word is none of them.
  let said = 0;
  socket.on("closing", ({ code }) => (said = code));
  socket.on("disconnect", (reason) => (client.closings.push(said || reason), (said = 0)));
  await new Promise((resolve) => socket.once("connect", resolve));
  const { ok } = await socket.emitWithAck("room:join", { room });
  if (!ok) throw new Error("not joined");
  return client;
}

const [near, far] = await Promise.all(options.nodes.split(",").map(enter));
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
tell({ ready: true });

createInterface({ input: process.stdin }).on("line", async (line) => {
  if (line === "send") {
    const numbers = Array.from({ length: count }, (_, number) => number);
    const send = (body) => near.socket.timeout(60_000).emitWithAck("message:send", { room, body });
    const answers = await Promise.all(numbers.map(send));
    tell({ acknowledged: answers.filter(({ ok }) => ok).length, far_has: far.seqs.length });
  } else if (line === "report") {
    for (const patience = Date.now() + 15_000; far.seqs.length < count && Date.now() < patience; ) await sleep(10);
    const whole = far.seqs.every((seq, index) => seq === far.seqs[0] + index);
    const inOrder = far.bodies.every((body, index) => body === index);
    tell({ far_has: far.seqs.length, whole, in_order: inOrder, closings: far.closings, recovered: far.socket.recovered });
    process.exit(0);
  }
});
