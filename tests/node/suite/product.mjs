// The chat protocol with the stock client against the real binary: who may enter, rooms, messages, errors, recovery.

import assert from "node:assert/strict";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { client, connected, freshRoom, next, record, upgraded, within } from "../lib/client.mjs";
import { feature, mode } from "../lib/context.mjs";
import { seconds, token } from "../lib/token.mjs";

const range = (from, to) => Array.from({ length: to - from }, (_, n) => from + n);

/// A client of this user, with its `session` event.
async function enter(t, user, options = {}) {
  const socket = client(t, "/", { auth: { token: token({ sub: user, ...options.claims }) } });
  const session = next(socket, "session");
  const first = new Promise((resolve) => socket.onAny((name) => resolve(name)));
  socket.connect();
  await next(socket, "connect");
  [socket.session] = await session;
  socket.firstEvent = await first;
  if (mode === "upgrade") await upgraded(socket);
  return socket;
}

async function member(t, user, room) {
  const socket = await enter(t, user);
  socket.messages = record(socket, "message");
  const joined = await socket.emitWithAck("room:join", { room });
  assert.equal(joined.ok, true, JSON.stringify(joined));
  return socket;
}

/// The events bear their offset behind the data.
const data = (recorded) => (Array.isArray(recorded) ? recorded[0] : recorded);
const refused = (answer, code, reason) => {
  assert.equal(answer.ok, false, JSON.stringify(answer));
  assert.deepEqual([answer.error.code, answer.error.reason], [code, reason]);
  assert.equal(typeof answer.error.message, "string");
  assert.equal(typeof answer.error.retryable, "boolean");
};

feature("the first event is the session, and says who one is", async (t) => {
  const socket = await enter(t, "alice");
  assert.equal(socket.firstEvent, "session");
  assert.equal(socket.session.user, "alice");
  assert.equal(socket.session.connection, socket.id);
  assert.equal(socket.session.recovered, false);
  assert.equal(typeof socket.session.node, "string");
  assert.ok(Math.abs(socket.session.server_time - Date.now()) < 60_000, "milliseconds since 1970");
});

const bad = {
  "no token": [undefined, 104, "unauthorized"],
  "a token that is none": ["abc", 104, "unauthorized"],
  "a token signed with another secret": [() => token({ sub: "alice" }, { secret: "another secret of sufficient length" }), 104, "unauthorized"],
  "a token without a signature": [() => token({ sub: "alice" }, { algorithm: "none" }), 104, "unauthorized"],
  "a token of another algorithm": [() => token({ sub: "alice" }, { algorithm: "HS512" }), 104, "unauthorized"],
  "a token without a user": [() => token({}), 104, "unauthorized"],
  "a token of a user with an impossible name": [() => token({ sub: "alice & bob" }), 104, "unauthorized"],
  "a token without an end": [() => token({ sub: "alice", exp: undefined }), 104, "unauthorized"],
  "a token that is not valid yet": [() => token({ sub: "alice", nbf: seconds() + 300 }), 104, "unauthorized"],
  "a token that has expired": [() => token({ sub: "alice", exp: seconds() - 300 }), 105, "token_expired"],
};
for (const [what, [make, code, reason]] of Object.entries(bad)) {
  feature(`refused: ${what}`, async (t) => {
    const socket = client(t, "/", { auth: { token: typeof make === "function" ? make() : make } });
    socket.connect();
    const [error] = await next(socket, "connect_error");
    assert.deepEqual({ code: error.data.code, reason: error.data.reason, retryable: error.data.retryable }, { code, reason, retryable: false });
    assert.equal(typeof error.message, "string");
    assert.equal(socket.active, false, "final for the stock client");
  });
}

feature("after a refusal the same client may enter with a better token", async (t) => {
  const socket = client(t, "/", { auth: { token: "abc" } });
  socket.connect();
  await next(socket, "connect_error");
  socket.auth = { token: token({ sub: "alice" }) };
  socket.connect();
  const [session] = await next(socket, "session");
  assert.equal(session.user, "alice");
});

feature("another namespace is refused", async (t) => {
  const socket = client(t, "/admin", { auth: { token: token({ sub: "alice" }) } });
  socket.connect();
  const [error] = await next(socket, "connect_error");
  assert.equal(error.message, "Invalid namespace");
});

feature("a message has its place, its sender and its time, for everybody the same", async (t) => {
  const room = freshRoom();
  const [alice, bob] = [await member(t, "alice", room), await member(t, "bob", room)];
  const before = Date.now();
  const sent = await alice.emitWithAck("message:send", { room, id: "m1", body: { text: "hello", list: [1, null] } });
  assert.deepEqual([sent.ok, sent.id, sent.seq], [true, "m1", 1]);
  assert.ok(Number.isSafeInteger(sent.epoch) && Math.abs(sent.ts - before) < 60_000);
  for (const socket of [alice, bob]) {
    await socket.messages.reach(1);
    assert.deepEqual(data(socket.messages[0]), {
      room, epoch: sent.epoch, seq: 1, id: "m1", from: "alice", ts: sent.ts, body: { text: "hello", list: [1, null] },
    });
  }
});

feature("join tells where the room stands", async (t) => {
  const room = freshRoom();
  const alice = await member(t, "alice", room);
  await alice.emitWithAck("message:send", { room, body: 1 });
  const bob = await enter(t, "bob");
  const { epoch, ...joined } = await bob.emitWithAck("room:join", { room });
  assert.deepEqual(joined, { ok: true, room, seq: 1, recovered: false, messages: [] });
  const again = await (await enter(t, "carol")).emitWithAck("room:join", { room, since: `${epoch}:0` });
  assert.deepEqual([again.recovered, again.messages.map(({ body }) => body)], [true, [1]]);
  const latest = await (await enter(t, "dave")).emitWithAck("room:join", { room, history: 10 });
  assert.deepEqual(latest.messages.map(({ seq, from, body }) => [seq, from, body]), [[1, "alice", 1]]);
});

feature("who is not in a room, or has left it, gets nothing of it", async (t) => {
  const room = freshRoom();
  const [alice, bob, outsider] = [await member(t, "alice", room), await member(t, "bob", room), await enter(t, "carol")];
  const strays = record(outsider, "message");
  assert.deepEqual(await bob.emitWithAck("room:leave", { room }), { ok: true });
  await alice.emitWithAck("message:send", { room, body: 1 });
  await Promise.all([bob, outsider].map((socket) => socket.emitWithAck("ping", 1)));
  assert.deepEqual([[...bob.messages], [...strays]], [[], []]);
});

feature("sent twice under one id, said once", async (t) => {
  const room = freshRoom();
  const alice = await member(t, "alice", room);
  const first = await alice.emitWithAck("message:send", { room, id: "same", body: 1 });
  const second = await alice.emitWithAck("message:send", { room, id: "same", body: 1 });
  assert.deepEqual([second.ok, second.seq, second.duplicate], [true, first.seq, true]);
  const third = await alice.emitWithAck("message:send", { room, id: "other", body: 2 });
  assert.equal(third.seq, first.seq + 1);
  await alice.messages.reach(2);
  await alice.emitWithAck("ping", 1);
  assert.deepEqual(alice.messages.map((message) => data(message).id), ["same", "other"]);
});

feature("two senders at once, one order for everybody", async (t) => {
  const room = freshRoom();
  const [alice, bob, carol] = [await member(t, "alice", room), await member(t, "bob", room), await member(t, "carol", room)];
  const acks = [alice, bob].flatMap((socket) => range(0, 250).map((n) => socket.emitWithAck("message:send", { room, body: n })));
  const seqs = (await Promise.all(acks)).map(({ seq }) => seq);
  assert.deepEqual(seqs.sort((a, b) => a - b), range(1, 501));
  const views = [];
  for (const socket of [alice, bob, carol]) {
    await socket.messages.reach(500);
    const view = socket.messages.map(data);
    assert.deepEqual(view.map(({ seq }) => seq), range(1, 501));
    for (const user of ["alice", "bob"]) {
      assert.deepEqual(view.filter(({ from }) => from === user).map(({ body }) => body), range(0, 250), "a sender's order is kept");
    }
    views.push(view.map(({ from, body }) => `${from} ${body}`));
  }
  assert.deepEqual(views[0], views[1]);
  assert.deepEqual(views[1], views[2]);
});

feature("binary bodies arrive whole", async (t) => {
  const room = freshRoom();
  const [alice, bob] = [await member(t, "alice", room), await member(t, "bob", room)];
  const bytes = Buffer.from(range(0, 256));
  const sent = await alice.emitWithAck("message:send", { room, body: { name: "x", file: bytes } });
  assert.equal(sent.ok, true);
  await bob.messages.reach(1);
  const { body } = data(bob.messages[0]);
  assert.equal(body.name, "x");
  assert.ok(Buffer.from(body.file).equals(bytes));
});

feature("a large body that compresses arrives whole", async (t) => {
  const room = freshRoom();
  const [alice, bob] = [await member(t, "alice", room), await member(t, "bob", room)];
  const body = "lorem ipsum ".repeat(10_000);
  assert.equal((await alice.emitWithAck("message:send", { room, body })).ok, true);
  await bob.messages.reach(1);
  assert.equal(data(bob.messages[0]).body, body);
});

feature("a volatile message has no place in the room", async (t) => {
  const room = freshRoom();
  const [alice, bob] = [await member(t, "alice", room), await member(t, "bob", room)];
  for (let attempt = 0; attempt < 50 && bob.messages.length === 0; attempt++) {
    assert.equal((await alice.emitWithAck("message:send", { room, body: "now", volatile: true })).ok, true);
    await bob.emitWithAck("ping", 1);
  }
  const message = data(bob.messages[0]);
  assert.deepEqual([message.body, message.volatile, message.seq], ["now", true, undefined]);
  assert.equal((await alice.emitWithAck("message:send", { room, body: "stored" })).seq, 1);
});

feature("ping brings its data back, and the time", async (t) => {
  const alice = await enter(t, "alice");
  const { ok, data, server_time } = await alice.emitWithAck("ping", { any: ["json"] });
  assert.deepEqual([ok, data, typeof server_time], [true, { any: ["json"] }, "number"]);
});

feature("errors have their codes", async (t) => {
  const room = freshRoom();
  const alice = await enter(t, "alice", { claims: { rooms: [{ match: "room-*", can: ["join", "send"] }, { match: "news", can: ["join"] }] } });
  refused(await alice.emitWithAck("message:send", { room, body: 1 }), 107, "not_in_room");
  refused(await alice.emitWithAck("room:join", { room: "secret" }), 106, "forbidden");
  assert.equal((await alice.emitWithAck("room:join", { room: "news" })).ok, true);
  refused(await alice.emitWithAck("message:send", { room: "news", body: 1 }), 106, "forbidden");
  refused(await alice.emitWithAck("no:such", {}), 102, "unknown_event");
  refused(await alice.emitWithAck("room:join", {}), 101, "bad_request");
  refused(await alice.emitWithAck("room:join", { room: "not a room" }), 101, "bad_request");
  refused(await alice.emitWithAck("room:join", "room"), 101, "bad_request");
  refused(await alice.emitWithAck("room:join"), 101, "bad_request");
  refused(await alice.emitWithAck("message:send", { room }), 101, "bad_request");
  await alice.emitWithAck("room:join", { room });
  refused(await alice.emitWithAck("message:send", { room, body: "x".repeat(300_000) }), 103, "too_large");
  refused(await alice.emitWithAck("ping", "x".repeat(2000)), 103, "too_large");
});

feature("without an ack an error comes as an event", async (t) => {
  const alice = await enter(t, "alice");
  const error = next(alice, "error");
  alice.emit("message:send", { room: freshRoom(), body: 1 });
  const [said] = await error;
  assert.deepEqual([said.event, said.code, said.reason], ["message:send", 107, "not_in_room"]);
});

feature("cut off: back with the same session and all that was missed, once", async (t) => {
  const room = freshRoom();
  const [alice, bob] = [await member(t, "alice", room), await member(t, "bob", room)];
  await alice.emitWithAck("message:send", { room, body: 0 });
  await bob.messages.reach(1);
  const id = bob.id;
  const gone = once(bob, "disconnect");
  bob.io.engine.close();
  await gone;
  for (const body of range(1, 50)) await alice.emitWithAck("message:send", { room, body });
  const session = next(bob, "session");
  bob.connect();
  assert.deepEqual([(await session)[0].recovered, bob.recovered, bob.id], [true, true, id]);
  await alice.emitWithAck("message:send", { room, body: 50 });
  await bob.messages.reach(51);
  await bob.emitWithAck("ping", 1);
  assert.deepEqual(bob.messages.map((message) => data(message).body), range(0, 51));
});

feature("cut off ten times among messages: nothing missing, nothing twice", { timeout: 60_000 }, async (t) => {
  const room = freshRoom();
  const [alice, bob] = [await member(t, "alice", room), await member(t, "bob", room)];
  let sent = 0;
  let more = true;
  const sending = (async () => {
    while (more) {
      await alice.emitWithAck("message:send", { room, body: sent++ });
      await pause(3);
    }
  })();
  for (let round = 0; round < 10; round++) {
    await pause(20);
    const gone = once(bob, "disconnect");
    bob.io.engine.close();
    await gone;
    const back = once(bob, "connect");
    bob.connect();
    await within(back, "connect");
    assert.equal(bob.recovered, true, `round ${round}`);
    if (mode === "upgrade") await upgraded(bob);
  }
  more = false;
  await sending;
  await bob.messages.reach(sent, 20_000);
  await bob.emitWithAck("ping", 1);
  assert.deepEqual(bob.messages.map((message) => data(message).body), range(0, sent));
});

feature("a ticket without its token is enough until that one ends", async (t) => {
  const bob = await enter(t, "bob");
  const gone = once(bob, "disconnect");
  bob.io.engine.close();
  await gone;
  bob.auth = {};
  const back = once(bob, "connect");
  bob.connect();
  await within(back, "connect");
  assert.equal(bob.recovered, true);
});

feature("another user's token does not open one's session", async (t) => {
  const bob = await enter(t, "bob");
  const gone = once(bob, "disconnect");
  bob.io.engine.close();
  await gone;
  bob.auth = { token: token({ sub: "mallory" }) };
  const session = next(bob, "session");
  bob.connect();
  const [{ user, recovered }] = await session;
  assert.deepEqual([user, recovered, bob.recovered], ["mallory", false, false]);
});
