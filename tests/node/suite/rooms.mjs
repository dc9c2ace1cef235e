// Rooms, broadcasts, broadcasts with acks, and the ways to part.

import assert from "node:assert/strict";
import { client, connected, freshRoom, next, record, settled } from "../lib/client.mjs";
import { feature } from "../lib/context.mjs";

const joined = async (t, room, namespace = "/", options = {}) => {
  const socket = await connected(t, namespace, options);
  await socket.emitWithAck("room:join", room);
  return socket;
};

feature("join, list and leave", async (t) => {
  const socket = await connected(t);
  const [one, two] = [freshRoom(), freshRoom()].sort();
  await socket.emitWithAck("room:join", one);
  await socket.emitWithAck("room:join", two);
  assert.deepEqual(await socket.emitWithAck("room:list"), [one, two]);
  await socket.emitWithAck("room:leave", one);
  assert.deepEqual(await socket.emitWithAck("room:list"), [two]);
});

feature("joining twice delivers once; leaving a room one is not in is nothing", async (t) => {
  const room = freshRoom();
  const socket = await joined(t, room);
  await socket.emitWithAck("room:join", room);
  await socket.emitWithAck("room:leave", freshRoom());
  const seen = record(socket, "room:event");
  await socket.emitWithAck("room:send", room, 1);
  await settled(socket);
  assert.deepEqual([...seen], [1]);
});

feature("a broadcast reaches the members, the sender among them, and nobody else", async (t) => {
  const room = freshRoom();
  const [a, b, outsider] = [await joined(t, room), await joined(t, room), await connected(t)];
  const seen = [a, b, outsider].map((socket) => record(socket, "room:event"));
  await a.emitWithAck("room:send", room, { hello: "all" });
  await Promise.all([a, b, outsider].map(settled));
  assert.deepEqual(seen.map((list) => [...list]), [[{ hello: "all" }], [{ hello: "all" }], []]);
});

feature("what a handler sends before its ack arrives before the ack", async (t) => {
  const room = freshRoom();
  const socket = await joined(t, room);
  const order = [];
  socket.on("room:event", () => order.push("event"));
  await new Promise((resolve) => socket.emit("room:send", room, 1, () => resolve(order.push("ack"))));
  await settled(socket);
  assert.deepEqual(order, ["event", "ack"]);
});

feature("a broadcast to the others spares the sender", async (t) => {
  const room = freshRoom();
  const [a, b] = [await joined(t, room), await joined(t, room)];
  const seen = [a, b].map((socket) => record(socket, "room:event"));
  await a.emitWithAck("room:send:others", room, "psst");
  await Promise.all([a, b].map(settled));
  assert.deepEqual(seen.map((list) => [...list]), [[], ["psst"]]);
});

feature("who has left a room gets no more of it", async (t) => {
  const room = freshRoom();
  const [a, b] = [await joined(t, room), await joined(t, room)];
  const seen = record(b, "room:event");
  await b.emitWithAck("room:leave", room);
  await a.emitWithAck("room:send", room, 1);
  await settled(b);
  assert.deepEqual([...seen], []);
});

feature("the same room name in two namespaces is two rooms", async (t) => {
  const room = freshRoom();
  const plain = await joined(t, room);
  const admin = await joined(t, room, "/admin", { auth: { token: "open sesame" } });
  const seen = record(admin, "room:event");
  await plain.emitWithAck("room:send", room, 1);
  await settled(admin);
  assert.deepEqual([...seen], []);
});

feature("a broadcast with binary reaches every member whole", async (t) => {
  const room = freshRoom();
  const members = [await joined(t, room), await joined(t, room), await joined(t, room)];
  const seen = members.map((socket) => next(socket, "room:event"));
  await members[0].emitWithAck("room:send", room, { file: Buffer.from([1, 2, 3]), name: "x" });
  for (const [event] of await Promise.all(seen)) {
    assert.equal(event.name, "x");
    assert.deepEqual([...Buffer.from(event.file)], [1, 2, 3]);
  }
});

feature("a large broadcast reaches every member whole", async (t) => {
  const room = freshRoom();
  const members = [await joined(t, room), await joined(t, room), await joined(t, room)];
  const seen = members.map((socket) => next(socket, "room:event"));
  const text = "lorem ipsum ".repeat(20_000);
  await members[0].emitWithAck("room:send", room, text);
  for (const [event] of await Promise.all(seen)) assert.equal(event, text);
});

feature("1,000 broadcasts of one sender keep their order at every member", async (t) => {
  const room = freshRoom();
  const [a, b] = [await joined(t, room), await joined(t, room)];
  const seen = [a, b].map((socket) => record(socket, "room:item"));
  await a.emitWithAck("room:feed", room, 0, 1000);
  for (const list of seen) {
    await list.reach(1000);
    assert.deepEqual(list.map(({ n }) => n), Array.from({ length: 1000 }, (_, n) => n));
  }
});

feature("a broadcast with acks gathers every answer", async (t) => {
  const room = freshRoom();
  const members = [await joined(t, room), await joined(t, room), await joined(t, room)];
  members.forEach((socket, index) => socket.on("question", (payload, ack) => ack({ index, payload })));
  const asker = await connected(t);
  const { answers, complete } = await asker.emitWithAck("room:ask", room, 5000, "q");
  assert.equal(complete, true);
  assert.deepEqual(answers.map(({ index }) => index).sort(), [0, 1, 2]);
  assert.ok(answers.every(({ payload }) => payload === "q"));
});

feature("a broadcast with acks tells the answers it got and that one is missing", async (t) => {
  const room = freshRoom();
  const [answering] = [await joined(t, room), await joined(t, room)];
  answering.on("question", (_, ack) => ack("here"));
  const asker = await connected(t);
  // All of the time is waited for, and who answers has to have had a turn within it.
  assert.deepEqual(await asker.emitWithAck("room:ask", room, 2_000, "q"), { answers: ["here"], complete: false });
});

feature("a broadcast with acks to an empty room is complete at once", async (t) => {
  const asker = await connected(t);
  assert.deepEqual(await asker.emitWithAck("room:ask", freshRoom(), 5000, "q"), { answers: [], complete: true });
});

feature("a disconnected member gets nothing and is not waited for", async (t) => {
  const room = freshRoom();
  const [stays, goes] = [await joined(t, room), await joined(t, room)];
  stays.on("question", (_, ack) => ack("here"));
  goes.disconnect();
  // The server learns of it a moment later.
  let result;
  for (let attempt = 0; attempt < 20; attempt++) {
    result = await stays.emitWithAck("room:ask", room, 500, "q");
    if (result.complete) break;
  }
  assert.deepEqual(result, { answers: ["here"], complete: true });
});

feature("disconnected by the server: the reason says so, and the connection stays for its other namespaces", async (t) => {
  const plain = await connected(t);
  const admin = plain.io.socket("/admin", { auth: { token: "open sesame" } });
  admin.connect();
  await next(admin, "connect");
  const gone = next(admin, "disconnect");
  admin.emit("leave:me", false);
  assert.equal((await gone)[0], "io server disconnect");
  assert.equal(admin.active, false);
  await settled(plain);
});

feature("disconnected by the server with the connection: every namespace is told", async (t) => {
  const plain = await connected(t);
  const admin = plain.io.socket("/admin", { auth: { token: "open sesame" } });
  admin.connect();
  await next(admin, "connect");
  const gone = [next(plain, "disconnect"), next(admin, "disconnect")];
  admin.emit("leave:me", true);
  for (const [reason] of await Promise.all(gone)) assert.equal(reason, "io server disconnect");
});

feature("disconnected by itself: the reason says so and it can connect again", async (t) => {
  const socket = await connected(t);
  const gone = next(socket, "disconnect");
  socket.disconnect();
  assert.equal((await gone)[0], "io client disconnect");
  socket.connect();
  await next(socket, "connect");
  await settled(socket);
});

feature("cut off: the client comes back by itself as somebody new", async (t) => {
  const socket = client(t, "/", { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 20 });
  socket.connect();
  await next(socket, "connect");
  const before = socket.id;
  const room = freshRoom();
  await socket.emitWithAck("room:join", room);
  const gone = next(socket, "disconnect");
  const back = next(socket, "connect");
  socket.io.engine.close();
  assert.equal((await gone)[0], "forced close");
  await back;
  assert.notEqual(socket.id, before);
  assert.ok(!socket.recovered);
  assert.deepEqual(await socket.emitWithAck("room:list"), []);
});
