// A crowd of stock clients in one process, to be stopped and continued as one. On standard output: a line once all are in
// their rooms; another with what each got once the word `report` has come in on standard input.

import { parseArgs } from "node:util";
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const { values: options } = parseArgs({
  options: { url: { type: "string" }, token: { type: "string" }, rooms: { type: "string" }, each: { type: "string" } },
});

const clients = [];
for (let room = 0; room < Number(options.rooms); room++) {
  for (let n = 0; n < Number(options.each); n++) clients.push(await enter(`room-${room}`));
}
console.log(JSON.stringify({ ready: clients.length }));

async function enter(room) {
  const socket = io(options.url, {
    transports: ["websocket"],
    forceNew: true,
    perMessageDeflate: false,
    auth: { token: options.token },
    reconnectionDelay: 100,
    reconnectionDelayMax: 500,
  });
  const client = { socket, room, seqs: [], disconnects: 0, recovered: 0, fresh: 0 };
  socket.on("message", ({ seq }) => client.seqs.push(seq));
  socket.on("disconnect", () => client.disconnects++);
  await new Promise((resolve) => socket.once("connect", resolve));
  await socket.emitWithAck("room:join", { room });
  socket.on("connect", () => (socket.recovered ? client.recovered++ : client.fresh++));
  return client;
}

createInterface({ input: process.stdin }).on("line", (line) => {
  if (line !== "report") return;
  const report = clients.map(({ room, seqs, disconnects, recovered, fresh }) => ({
    room,
    first: seqs[0],
    last: seqs.at(-1),
    whole: seqs.every((seq, index) => seq === seqs[0] + index),
    disconnects,
    recovered,
    fresh,
  }));
  process.stdout.write(JSON.stringify({ report }) + "\n", () => process.exit(0));
}).on("close", () => process.exit(0));
