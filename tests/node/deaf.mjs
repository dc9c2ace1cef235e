// The stock client changes to a websocket, and that is cut in between: behind the answer to its probe and before its last poll is
// answered. It then neither polls nor writes, and takes itself for connected, until it misses the heartbeat. What was sent to it
// meanwhile it must be given when it is back.
//
// One line at the end: {"deaf", "heard", "reason", "recovered", "got"}.

import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";
import { Way } from "./lib/way.mjs";

const { values: options } = parseArgs({ options: { node: { type: "string" }, tokens: { type: "string" }, count: { type: "string" } } });
const [deafs, others] = JSON.parse(options.tokens);
const count = Number(options.count);
const room = "deaf";

const until = async (holds, limit = 10_000) => {
  for (const patience = Date.now() + limit; !holds() && Date.now() < patience; ) await sleep(10);
};
const way = await Way.to({ hostname: "127.0.0.1", port: Number(options.node) });

async function enter(port, auth) {
  const socket = io(`http://127.0.0.1:${port}`, { auth, forceNew: true, reconnectionDelay: 100 });
  const got = [];
  socket.on("message", ({ body }) => got.push(body));
  await new Promise((resolve) => socket.once("connect", resolve));
  return { socket, got };
}

const sender = await enter(Number(options.node), { token: others });
await sender.socket.emitWithAck("room:join", { room });
const { socket, got } = await enter(way.port, { token: deafs });
await socket.emitWithAck("room:join", { room });
await until(() => socket.io.engine.transport.name === "websocket");

// It comes back, and its second change to a websocket is the one that fails.
const left = new Promise((resolve) => socket.once("disconnect", resolve));
way.cut();
await left;
const cut = way.cutNextUpgrade(() => socket.connected);
way.mend();
await cut;
await sleep(200);
let reason;
socket.once("disconnect", (why) => (reason = why));
const { engine } = socket.io;
const deaf = socket.connected && engine.transport.name === "polling" && engine.transport.readyState === "paused";
for (let body = 0; body < count; body++) await sender.socket.emitWithAck("message:send", { room, body });
const heard = got.length;
await until(() => got.length >= count, 20_000);
const report = { deaf, heard, reason, recovered: socket.recovered, got };
process.stdout.write(JSON.stringify(report) + "\n", () => process.exit(0));
