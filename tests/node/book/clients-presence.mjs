import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { token } from "./lib/token.mjs";

const room = "book:presence";
const enter = (user) => io(process.env.GATEWAY, { auth: { token: token({ sub: user, rooms: [{ match: "*", can: ["join", "presence"] }] }) }, forceNew: true });
const [socket, other] = [enter("ann"), enter("ben")];

// block 1

assert.equal(count, members.length);
const until = async (what) => { while (!what()) await new Promise((done) => setTimeout(done, 20)); };
await other.emitWithAck("room:join", { room, presence: true });
await until(() => there.has("ben"));
await other.emitWithAck("room:leave", { room });
await until(() => !there.has("ben"));
socket.close();
other.close();
