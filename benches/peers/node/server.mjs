// The chat server of the benches as a Node user would write it: socket.io with its defaults, JWT in the middleware.
import { createServer } from "node:http";
import jwt from "jsonwebtoken";
import { Server } from "socket.io";

const secret = process.env.JWT_SECRET;
const http = createServer();
const io = new Server(http, {
  pingInterval: Number(process.env.HEARTBEAT_MS ?? 25_000),
  perMessageDeflate: process.env.DEFLATE === "1" ? { threshold: 1024 } : false,
});

io.use((socket, next) => {
  try {
    const claims = jwt.verify(socket.handshake.auth.token, secret, { algorithms: ["HS256"] });
    socket.data.user = claims.sub;
    next();
  } catch {
    next(new Error("unauthorized"));
  }
});

let messages = 0;

io.on("connection", (socket) => {
  socket.on("room:join", ({ room }, ack) => {
    socket.join(room);
    ack({ ok: true, room });
  });

  socket.on("room:leave", ({ room }, ack) => {
    socket.leave(room);
    ack({ ok: true });
  });

  socket.on("message:send", ({ room, body }, ack) => {
    if (!socket.rooms.has(room)) {
      ack({ ok: false, error: { code: 107, reason: "not_in_room" } });
      return;
    }
    const message = { room, id: String(++messages), from: socket.data.user, ts: Date.now(), body };
    io.to(room).emit("message", message);
    ack({ ok: true, id: message.id, ts: message.ts });
  });

  socket.on("ping", (data, ack) => {
    ack({ ok: true, data, server_time: Date.now() });
  });
});

http.listen({ host: "127.0.0.1", port: Number(process.env.PORT ?? 0), backlog: 4096 }, () => {
  console.log(JSON.stringify({ listening: { gateway: `http://127.0.0.1:${http.address().port}` } }));
});
