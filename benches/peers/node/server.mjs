// The chat server of the benches as a Node user would write it: socket.io with its defaults, JWT in the middleware. With
// REDIS_NODES it is one of several, joined by the sharded Redis adapter with its defaults, or with REDIS_ADAPTER=streams by
// the one over Redis streams with its own.
import { createServer } from "node:http";
import jwt from "jsonwebtoken";
import { Server } from "socket.io";

const secret = process.env.JWT_SECRET;
const http = createServer();
const adapter = process.env.REDIS_NODES ? await clusterAdapter(process.env.REDIS_NODES) : undefined;
const io = new Server(http, {
  adapter,
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

async function clusterAdapter(nodes) {
  const { createCluster } = await import("redis");
  const rootNodes = nodes.split(",").map((node) => ({ url: `redis://${node}` }));
  const connected = async () => {
    const client = createCluster({ rootNodes });
    client.on("error", (error) => console.error(error));
    await client.connect();
    return client;
  };
  if (process.env.REDIS_ADAPTER === "streams") {
    const { createAdapter } = await import("@socket.io/redis-streams-adapter");
    return createAdapter(await connected());
  }
  const { createShardedAdapter } = await import("@socket.io/redis-adapter");
  return createShardedAdapter(await connected(), await connected());
}

http.listen({ host: "127.0.0.1", port: Number(process.env.PORT ?? 0), backlog: 4096 }, () => {
  console.log(JSON.stringify({ listening: { gateway: `http://127.0.0.1:${http.address().port}` } }));
});
