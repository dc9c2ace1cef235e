// Connection State Recovery as the stock client does it: the server gives a `pid` and ends reliable events with an offset;
// the client shows both when it returns. A room is fed by a second client while the first is away.

import assert from "node:assert/strict";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { connected, freshRoom, next, record, settled, upgraded, within } from "../lib/client.mjs";
import { feature, mode } from "../lib/context.mjs";

const windowMilliseconds = Number(process.env.SUITE_RECOVERY_WINDOW_MS);
const numbers = (list) => list.map((item) => (Array.isArray(item) ? item[0] : item).n);
const range = (from, to) => Array.from({ length: to - from }, (_, n) => from + n);

/// A member of a fresh room with a record of what it got, and somebody to feed the room.
async function roomOfTwo(t) {
  const room = freshRoom();
  const member = await connected(t);
  const items = record(member, "room:item");
  await member.emitWithAck("room:join", room);
  const feeder = await connected(t);
  const feed = (from, to) => feeder.emitWithAck("room:feed", room, from, to - from);
  return { room, member, items, feed };
}

/// Loses the connection the way a client does that walks out of reach and notices.
async function cut(socket) {
  const gone = socket.connected ? once(socket, "disconnect") : undefined;
  socket.io.engine.close();
  await gone;
}

async function comeBack(socket) {
  // The server has to have seen the end of the old connection: until then it has nothing to recover from.
  await pause(60);
  const connects = once(socket, "connect");
  socket.connect();
  await within(connects, "connect");
  if (mode === "upgrade") await upgraded(socket);
}

feature("the first connection is not a recovered one", async (t) => {
  const socket = await connected(t);
  assert.equal(socket.recovered, false);
  assert.equal(typeof socket._pid, "string");
});

feature("what was missed arrives once and in order, and then goes on", async (t) => {
  const { room, member, items, feed } = await roomOfTwo(t);
  await feed(0, 3);
  await items.reach(3);
  const id = member.id;
  await cut(member);
  await feed(3, 103);
  await comeBack(member);
  assert.equal(member.recovered, true);
  assert.equal(member.id, id);
  await feed(103, 106);
  await items.reach(106);
  await settled(member);
  assert.deepEqual(numbers(items), range(0, 106));
  assert.deepEqual(await member.emitWithAck("room:list"), [room]);
});

feature("recovered with nothing missed", async (t) => {
  const { member, items, feed } = await roomOfTwo(t);
  await cut(member);
  await comeBack(member);
  assert.equal(member.recovered, true);
  await feed(0, 2);
  await items.reach(2);
  assert.deepEqual(numbers(items), [0, 1]);
});

feature("recovered three times with no traffic in between", async (t) => {
  const { member, items, feed } = await roomOfTwo(t);
  await feed(0, 2);
  await items.reach(2);
  const id = member.id;
  for (let round = 0; round < 3; round++) {
    await cut(member);
    await comeBack(member);
    assert.equal(member.recovered, true, `round ${round}`);
    assert.equal(member.id, id);
  }
  await feed(2, 4);
  await items.reach(4);
  await settled(member);
  assert.deepEqual(numbers(items), range(0, 4));
});

feature("cut again in the middle of the replay: nothing missing, nothing twice", async (t) => {
  const { room, member, items, feed } = await roomOfTwo(t);
  const filler = "x".repeat(20_000);
  const events = record(member, "room:event");
  const other = await connected(t);
  await feed(0, 1);
  await items.reach(1);
  await cut(member);
  // Some megabytes, so that they do not arrive in one piece.
  for (let sent = 0; sent < 150; sent += 10) {
    await Promise.all(range(sent, sent + 10).map((n) => other.emitWithAck("room:send", room, { n, filler })));
  }
  const gone = new Promise((resolve) => {
    member.on("room:event", ({ n }) => {
      // In a turn of its own, like a real loss: the client keeps what it has decoded in this turn, and would show it
      // again after the next connect, beside the server's replay of it.
      if (n === 10) setImmediate(() => resolve(cut(member)));
    });
  });
  await pause(60);
  member.connect();
  await within(gone, "the middle of the replay");
  const half = events.length;
  assert.ok(half >= 11 && half < 150, `cut after ${half}`);
  await other.emitWithAck("room:send", room, { n: 150 });
  await comeBack(member);
  assert.equal(member.recovered, true);
  await events.reach(151);
  await settled(member);
  assert.deepEqual(numbers(events), range(0, 151));
});

feature("cut ten times while the room is never quiet: nothing missing, nothing twice", { timeout: 60_000 }, async (t) => {
  const { member, items, feed } = await roomOfTwo(t);
  await feed(0, 1);
  await items.reach(1);
  let fed = 1;
  let more = true;
  const feeding = (async () => {
    while (more) {
      await feed(fed, fed + 5);
      fed += 5;
      await pause(2);
    }
  })();
  for (let round = 0; round < 10; round++) {
    await pause(20);
    await cut(member);
    await comeBack(member);
    assert.equal(member.recovered, true, `round ${round}`);
  }
  more = false;
  await feeding;
  await items.reach(fed, 20_000);
  await settled(member);
  assert.deepEqual(numbers(items), range(0, fed));
});

feature("binary events are replayed whole", async (t) => {
  const { room, member, items, feed } = await roomOfTwo(t);
  const events = record(member, "room:event");
  await feed(0, 1);
  await items.reach(1);
  await cut(member);
  const other = await connected(t);
  await other.emitWithAck("room:send", room, { file: Buffer.from([1, 2, 3]), name: "x" });
  await comeBack(member);
  await events.reach(1);
  const [{ file, name }] = events[0];
  assert.deepEqual([[...Buffer.from(file)], name], [[1, 2, 3], "x"]);
});

feature("rooms that the socket has left, or never entered, are not replayed", async (t) => {
  const { room, member, items, feed } = await roomOfTwo(t);
  await feed(0, 1);
  await items.reach(1);
  const staying = freshRoom();
  await member.emitWithAck("room:join", staying);
  await member.emitWithAck("room:leave", room);
  await cut(member);
  await feed(1, 5);
  const other = await connected(t);
  await other.emitWithAck("room:feed", freshRoom(), 50, 5);
  await other.emitWithAck("room:feed", staying, 100, 2);
  await comeBack(member);
  assert.equal(member.recovered, true);
  await settled(member);
  assert.deepEqual(numbers(items), [0, 100, 101]);
});

feature("what was sent before a room was joined is not replayed", async (t) => {
  const { room, member, items, feed } = await roomOfTwo(t);
  const late = await connected(t);
  const seen = record(late, "room:item");
  await feed(0, 5);
  await late.emitWithAck("room:join", room);
  await cut(late);
  await feed(5, 7);
  await comeBack(late);
  assert.equal(late.recovered, true);
  await settled(late);
  assert.deepEqual(numbers(seen), [5, 6]);
  await items.reach(7);
  await settled(member);
});

feature("a connection that dies without a word is recovered too", async (t) => {
  if (mode === "polling") return t.skip("no websocket to tear");
  const { member, items, feed } = await roomOfTwo(t);
  await feed(0, 1);
  await items.reach(1);
  const gone = next(member, "disconnect");
  member.io.engine.transport.ws.terminate();
  await gone;
  await feed(1, 4);
  await comeBack(member);
  assert.equal(member.recovered, true);
  await settled(member);
  assert.deepEqual(numbers(items), range(0, 4));
});

feature("who left on purpose comes back as somebody new", async (t) => {
  const { member, items, feed } = await roomOfTwo(t);
  await feed(0, 1);
  await items.reach(1);
  const id = member.id;
  member.disconnect();
  await feed(1, 3);
  await comeBack(member);
  assert.equal(member.recovered, false);
  assert.notEqual(member.id, id);
  await settled(member);
  assert.deepEqual(numbers(items), [0]);
});

feature("a ticket that the server never gave opens nothing", async (t) => {
  const { room, member, items, feed } = await roomOfTwo(t);
  await feed(0, 1);
  await items.reach(1);
  const thief = await connected(t);
  await settled(thief);
  await cut(thief);
  thief._pid = `${member._pid.slice(0, -2)}AA`;
  await comeBack(thief);
  assert.equal(thief.recovered, false);
  assert.notEqual(thief.id, member.id);
  assert.deepEqual(await thief.emitWithAck("room:list"), []);
  assert.deepEqual(await member.emitWithAck("room:list"), [room]);
});

feature("an offset that the server never gave recovers nothing", async (t) => {
  const { member, items, feed } = await roomOfTwo(t);
  await feed(0, 1);
  await items.reach(1);
  await cut(member);
  member._lastOffset = "no such offset";
  await comeBack(member);
  assert.equal(member.recovered, false);
  await settled(member);
  assert.deepEqual(numbers(items), [0]);
});

feature("away for longer than the window: somebody new, and nothing replayed", async (t) => {
  const { member, items, feed } = await roomOfTwo(t);
  await feed(0, 1);
  await items.reach(1);
  const id = member.id;
  await cut(member);
  await feed(1, 3);
  await pause(windowMilliseconds + 1_000);
  await comeBack(member);
  assert.equal(member.recovered, false);
  assert.notEqual(member.id, id);
  await settled(member);
  assert.deepEqual(numbers(items), [0]);
});
