// The stock client changes to a websocket, and that is cut in between: behind the answer to its probe and before its last poll is
// answered. It then neither polls nor writes, and takes itself for connected, until it misses the heartbeat. What was sent to it
// meanwhile it must be given when it is back.
//
// One line at the end: {"deaf", "heard", "reason", "recovered", "got"}.

import { parseArgs } from "node:util";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";

const { values: options } = parseArgs({ options: { node: { type: "string" }, tokens: { type: "string" }, count: { type: "string" } } });
const [deafs, others] = JSON.parse(options.tokens);
const count = Number(options.count);
const room = "deaf";

// Between the client and its node. When told, it cuts the next websocket, and lets the answer to the poll through behind that.
const open = new Set();
let armed = false;
let isCut = false;
let cut = Promise.resolve();
const between = net.createServer((client) => {
  const node = net.connect(Number(options.node), "127.0.0.1");
  const end = () => (client.destroy(), node.destroy(), open.delete(end));
  open.add(end);
  for (const socket of [client, node]) socket.setNoDelay(true).on("error", end);
  client.on("close", end).pipe(node);
  node.on("close", () => cut.then(() => (client.end(), open.delete(end))));
  node.on("data", async (bytes) => {
    if (!armed || !bytes.includes("3probe")) {
      await cut;
      return client.write(bytes);
    }
    armed = false;
    await until(() => socket.connected);
    // From here on polls are not answered. One that was is followed by another, which is under way when this comes.
    cut = (async () => {
      await sleep(50);
      client.write(bytes);
      await sleep(50);
      end();
      await sleep(100);
      isCut = true;
    })();
  });
});
const until = async (holds, limit = 10_000) => {
  for (const patience = Date.now() + limit; !holds() && Date.now() < patience; ) await sleep(10);
};
await new Promise((resolve) => between.listen(0, "127.0.0.1", resolve));

async function enter(port, auth) {
  const socket = io(`http://127.0.0.1:${port}`, { auth, forceNew: true, reconnectionDelay: 100 });
  const got = [];
  socket.on("message", ({ body }) => got.push(body));
  await new Promise((resolve) => socket.once("connect", resolve));
  return { socket, got };
}

const sender = await enter(Number(options.node), { token: others });
await sender.socket.emitWithAck("room:join", { room });
const { socket, got } = await enter(between.address().port, { token: deafs });
await socket.emitWithAck("room:join", { room });
await until(() => socket.io.engine.transport.name === "websocket");

// It comes back, and its second change to a websocket is the one that fails.
armed = true;
for (const end of [...open]) end();
await until(() => isCut);
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
