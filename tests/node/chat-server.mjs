// The chat server that everybody writes first: rooms, messages, acks, and no promise about any of it. With --lose, --double
// or --swap it breaks one delivery in so many, which a load test must find.

import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Server } from "socket.io";

const { values: options } = parseArgs({
  options: {
    lose: { type: "string", default: "0" },
    double: { type: "string", default: "0" },
    swap: { type: "string", default: "0" },
    "recovery-window-ms": { type: "string", default: "0" },
  },
});
const recoveryWindow = Number(options["recovery-window-ms"]);
const http = createServer();
const io = new Server(http, {
  connectionStateRecovery: recoveryWindow > 0 ? { maxDisconnectionDuration: recoveryWindow } : undefined,
});
const faults = ["lose", "double", "swap"].filter((fault) => Number(options[fault]) > 0);
const counts = { lose: 0, double: 0, swap: 0, delivered: 0 };

io.on("connection", (socket) => {
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack?.();
  });
  socket.on("leave", (room, ack) => {
    socket.leave(room);
    ack?.();
  });
  socket.on("message", (room, body, ack) => {
    if (faults.length === 0) io.to(room).emit("message", room, body);
    else for (const id of io.of("/").adapter.rooms.get(room) ?? []) deliver(io.of("/").sockets.get(id), socket.id, room, body);
    ack?.({ ok: true });
  });
});

// One in so many, over all members: the swapped one waits for the next of the same sender.
function deliver(socket, sender, room, body) {
  const turn = ++counts.delivered;
  const due = faults.find((fault) => turn % Number(options[fault]) === 0);
  const kept = (socket.data.kept ??= new Map());
  if (due) counts[due]++;
  if (due === "swap") {
    kept.set(sender, body);
    return;
  }
  if (due !== "lose") socket.emit("message", room, body);
  if (due === "double") socket.emit("message", room, body);
  if (kept.has(sender)) {
    socket.emit("message", room, kept.get(sender));
    kept.delete(sender);
  }
}

// Whoever started it asks at the end how often it was at fault.
http.on("request", (request, response) => {
  if (request.url === "/counts") response.end(JSON.stringify(counts));
});
http.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: http.address().port })));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
