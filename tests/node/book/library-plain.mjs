import assert from "node:assert/strict";
import WebSocket from "ws";

globalThis.WebSocket ??= WebSocket;
const freshToken = async () => process.env.TOKEN;
let shown;
const seen = new Promise((done) => { shown = done; });
const show = (...what) => shown(what);

// block 1

assert(Array.isArray(messages));
assert.deepEqual(await seen, ["chat:lobby", "alice", { text: "hello" }]);
client.close();
