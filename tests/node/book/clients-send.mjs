import assert from "node:assert/strict";
import { io } from "socket.io-client";

const socket = io(process.env.GATEWAY, { auth: { token: process.env.TOKEN }, forceNew: true });
await socket.emitWithAck("room:join", { room: "book:send" });

// block 1

const [first, second] = [await send("book:send", "one"), await send("book:send", "two")];
assert.equal(second.seq, first.seq + 1);
await assert.rejects(send("not a room", "three"));
socket.close();
