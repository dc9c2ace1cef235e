// Stock clients in one room, some by polling and some by websocket: each says something, and each must hear everybody once.
// Prints at which gateways they were, and how many messages came of how many.

import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";

const { values: options } = parseArgs({ options: { url: { type: "string" }, tokens: { type: "string" } } });
const tokens = JSON.parse(options.tokens);
const room = "chat:sample";

const clients = tokens.map((token, number) => {
  const transports = number % 2 ? ["polling"] : ["polling", "websocket"];
  const socket = io(options.url, { auth: { token }, transports, forceNew: true });
  const client = { socket, heard: new Map() };
  socket.on("message", ({ id }) => client.heard.set(id, (client.heard.get(id) ?? 0) + 1));
  client.entered = new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.on("connect_error", (error) => socket.active || reject(error));
  });
  return client;
});

const gateways = new Set();
for (const { socket, entered } of clients) {
  await entered;
  gateways.add(socket.io.engine.id.split(".")[0]);
  const joined = await socket.timeout(20_000).emitWithAck("room:join", { room });
  if (!joined.ok) throw new Error(JSON.stringify(joined));
}

const said = clients.map((_, number) => `said-${number}`);
const answers = await Promise.all(
  clients.map(({ socket }, number) =>
    socket.timeout(20_000).emitWithAck("message:send", { room, id: said[number], body: { number } }),
  ),
);
for (const answer of answers) if (!answer.ok) throw new Error(JSON.stringify(answer));

const has = ({ heard }) => said.every((id) => heard.has(id));
for (const until = Date.now() + 20_000; !clients.every(has) && Date.now() < until; ) await sleep(20);
const counts = clients.flatMap(({ heard }) => [...heard.values()]);
console.log(
  JSON.stringify({
    gateways: [...gateways].sort(),
    delivered: counts.reduce((sum, count) => sum + count, 0),
    expected: said.length * clients.length,
  }),
);
for (const { socket } of clients) socket.close();
