import assert from "node:assert/strict";
import { io } from "socket.io-client";

const room = "book:position";
const socket = io(process.env.GATEWAY, { auth: { token: process.env.TOKEN }, forceNew: true });
await socket.emitWithAck("room:join", { room });
for (const body of ["one", "two"]) assert((await socket.emitWithAck("message:send", { room, body })).ok);
await socket.emitWithAck("room:leave", { room });

// block 1

// The position is one that this room never had.
assert.deepEqual([recovered, messages.map(({ body }) => body)], [false, ["one", "two"]]);
socket.close();
