// The reference: Node's own Socket.IO server, speaking the vocabulary of the suite (README.md beside this file).
// A test that this server fails is a wrong test until the contrary is shown.

import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Server } from "socket.io";
import * as msgpack from "socket.io-msgpack-parser";

const { values: options } = parseArgs({
  options: {
    parser: { type: "string", default: "default" },
    deflate: { type: "boolean", default: false },
    "recovery-window-ms": { type: "string", default: "0" },
    "ping-interval-ms": { type: "string", default: "25000" },
    "ping-timeout-ms": { type: "string", default: "20000" },
    "connect-timeout-ms": { type: "string", default: "45000" },
    "upgrade-timeout-ms": { type: "string", default: "10000" },
    // Nothing here has a bound like these: they are taken so that every server takes the same options.
    "queue-soft-bytes": { type: "string" },
    "queue-hard-bytes": { type: "string" },
    "write-deadline-ms": { type: "string" },
    "payload-bytes-max": { type: "string", default: "1000000" },
  },
});

const recoveryWindow = Number(options["recovery-window-ms"]);
const http = createServer();
const io = new Server(http, {
  parser: options.parser === "msgpack" ? msgpack : undefined,
  perMessageDeflate: options.deflate ? { threshold: 1024 } : false,
  connectionStateRecovery: recoveryWindow > 0 ? { maxDisconnectionDuration: recoveryWindow } : undefined,
  pingInterval: Number(options["ping-interval-ms"]),
  pingTimeout: Number(options["ping-timeout-ms"]),
  upgradeTimeout: Number(options["upgrade-timeout-ms"]),
  connectTimeout: Number(options["connect-timeout-ms"]),
  maxHttpBufferSize: Number(options["payload-bytes-max"]),
});

io.of("/admin").use((socket, next) => {
  if (socket.handshake.auth?.token === "open sesame") return next();
  const refusal = new Error("unauthorized");
  refusal.data = { code: 104, reason: "unauthorized", retryable: false };
  next(refusal);
});

for (const namespace of ["/", "/admin"]) {
  io.of(namespace).on("connection", (socket) => serve(io.of(namespace), socket));
}

function serve(namespace, socket) {
  let position = 0;
  socket.emit("welcome", { id: socket.id, auth: socket.handshake.auth, recovered: socket.recovered === true });

  socket.on("echo", (...args) => args.pop()(...args));
  socket.on("echo:back", (...args) => socket.emit("echoed", ...args));
  socket.on("position", (n, ack) => ack(n, position++));
  socket.on("position:silent", () => void position++);
  socket.on("burst", (count, bytes) => {
    const filler = "x".repeat(bytes);
    for (let n = 0; n < count; n++) socket.emit("tick", n, filler);
  });

  socket.on("room:join", (room, ack) => (socket.join(room), ack()));
  socket.on("room:leave", (room, ack) => (socket.leave(room), ack()));
  socket.on("room:list", (ack) => ack([...socket.rooms].filter((room) => room !== socket.id).sort()));
  socket.on("room:send", (room, payload, ack) => (namespace.to(room).emit("room:event", payload), ack()));
  socket.on("room:send:others", (room, payload, ack) => (socket.to(room).emit("room:event", payload), ack()));
  socket.on("room:feed", (room, from, count, ack) => {
    for (let n = from; n < from + count; n++) namespace.to(room).emit("room:item", { n });
    ack();
  });
  socket.on("room:ask", (room, timeoutMs, payload, ack) => {
    namespace.to(room).timeout(timeoutMs).emit("question", payload, (error, answers) => {
      ack({ answers, complete: error === null });
    });
  });

  socket.on("ask", (timeoutMs, payload, ack) => {
    socket.timeout(timeoutMs).emit("question", payload, (error, answer) => {
      ack(error ? { timeout: true } : { answer });
    });
  });
  socket.on("volatile", (count, bytes, ack) => {
    const filler = "x".repeat(bytes);
    for (let n = 0; n < count; n++) socket.volatile.emit("volatile:event", n, filler);
    ack();
  });
  socket.on("leave:me", (close) => socket.disconnect(close));
}

http.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ listening: `http://127.0.0.1:${http.address().port}` }));
});
// The harness holds our standard input open; when it goes, however it went, so do we.
process.stdin.resume().on("end", () => process.exit(0));
