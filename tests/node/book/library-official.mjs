import assert from "node:assert/strict";

const freshToken = async () => process.env.TOKEN;

// block 1

const room = "book:official";
await client.join(room);
assert((await client.send(room, "hello")).seq > 0);
client.close();
