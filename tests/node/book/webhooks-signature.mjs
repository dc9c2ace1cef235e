// A webhook of the running system is genuine, and one that was changed is not.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { io } from "socket.io-client";
import { token } from "./lib/token.mjs";

// block 1

const secret = process.env.HOOK_SECRET;
const request = await new Promise((came) => {
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    response.end();
    came({ headers: request.headers, body: Buffer.concat(chunks) });
    server.close();
  }).listen(process.env.HOOK_PORT, "127.0.0.1");
  const auth = { token: token({ sub: "alice", rooms: [{ match: "user:*", can: ["send"] }] }) };
  const socket = io(process.env.GATEWAY, { auth, forceNew: true });
  socket.emit("message:send", { room: "user:somebody-who-is-away", body: "hello" }, () => socket.close());
});
assert(JSON.parse(request.body).events.length > 0);
assert(isGenuine(request.headers, request.body, secret));
assert(!isGenuine(request.headers, request.body + " ", secret));
assert(!isGenuine(request.headers, request.body, `${secret}!`));
