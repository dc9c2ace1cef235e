// Events and acks, text and binary, both ways; sizes and order.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { NodeWebSocket, NodeXHR } from "socket.io-client";
import { client, connected, next, record, settled, upgraded, within } from "../lib/client.mjs";
import { feature, mode, parser } from "../lib/context.mjs";

/// The client hands out a Buffer, over some transports an ArrayBuffer: the bytes are what counts.
const plain = (value) => {
  if (value instanceof ArrayBuffer) return { bytes: Buffer.from(value).toString("hex") };
  if (ArrayBuffer.isView(value)) return { bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex") };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  return value;
};

const answer = (socket, ...args) =>
  within(new Promise((resolve) => socket.emit("echo", ...args, (...all) => resolve(all))), "ack");
const back = async (socket, ...args) => {
  const event = next(socket, "echoed");
  socket.emit("echo:back", ...args);
  return event;
};

const texts = {
  "no argument": [],
  "several arguments": [1, "two", [3], { four: 4 }, null, true],
  "numbers": [0, -1, 1.5, -1.5e-7, 2 ** 53 - 1, -(2 ** 31)],
  "text beyond ASCII and control characters": ["héllo ✓ 🚪 \u0000 \u001e \u2028 \" \\ \n", ""],
  "objects in arrays in objects": [{ a: [{ b: [{ c: {} }] }, []] }],
  "what looks like a packet": ["2probe", "42[\"x\"]", "451-[{\"_placeholder\":true,\"num\":0}]"],
};
for (const [what, args] of Object.entries(texts)) {
  feature(`echo by ack: ${what}`, async (t) => assert.deepEqual(await answer(await connected(t), ...args), args));
  feature(`echo by event: ${what}`, async (t) => assert.deepEqual(await back(await connected(t), ...args), args));
}

const binaries = {
  "a buffer": [Buffer.from([1, 2, 3, 0, 255])],
  "an empty buffer": [Buffer.alloc(0)],
  "an array buffer": [new Uint8Array([7, 8, 9]).buffer],
  "a view into a larger buffer": [new Uint8Array([0, 1, 2, 3, 4]).subarray(2, 4)],
  "buffers nested among text": [{ file: Buffer.from("a"), list: [Buffer.from("b"), "c", { deep: [Buffer.from("d")] }] }, "tail"],
  "several buffers in order": Array.from({ length: 8 }, (_, n) => Buffer.from([n])),
  "a buffer of every byte": [Buffer.from(Array.from({ length: 256 }, (_, n) => n))],
};
for (const [what, args] of Object.entries(binaries)) {
  // socket.io-msgpack-parser 3.0.2 sends the whole buffer that lies under a view.
  if (parser === "msgpack" && what.includes("view")) continue;
  feature(`binary echo by ack: ${what}`, async (t) => {
    assert.deepEqual(plain(await answer(await connected(t), ...args)), plain(args));
  });
  feature(`binary echo by event: ${what}`, async (t) => {
    assert.deepEqual(plain(await back(await connected(t), ...args)), plain(args));
  });
}

feature("an ack that never comes times out at the client", async (t) => {
  const socket = await connected(t);
  await assert.rejects(socket.timeout(200).emitWithAck("nobody listens", 1), /operation has timed out/);
  await settled(socket);
});

feature("an event that nobody listens to harms nothing", async (t) => {
  const socket = await connected(t);
  socket.emit("nobody listens", { a: 1 }, Buffer.from("x"));
  await settled(socket);
});

feature("many acks outstanding at once each find their own", async (t) => {
  const socket = await connected(t);
  const numbers = Array.from({ length: 100 }, (_, n) => n);
  assert.deepEqual(await Promise.all(numbers.map((n) => socket.emitWithAck("echo", n))), numbers);
});

feature("the server asks and the client acks", async (t) => {
  const socket = await connected(t);
  socket.on("question", (payload, ack) => ack({ got: payload }));
  assert.deepEqual(await socket.emitWithAck("ask", 5000, "q"), { answer: { got: "q" } });
});

feature("the server asks and the client acks with binary", async (t) => {
  const socket = await connected(t);
  socket.on("question", (payload, ack) => ack(Buffer.concat([payload, Buffer.from([9])])));
  const got = await socket.emitWithAck("ask", 5000, Buffer.from([1]));
  assert.deepEqual(plain(got), { answer: { bytes: "0109" } });
});

feature("the server asks, nobody answers, and its timeout fires", async (t) => {
  const socket = await connected(t);
  assert.deepEqual(await socket.emitWithAck("ask", 200, "q"), { timeout: true });
});

feature("an ack that comes after the server's timeout is ignored", async (t) => {
  const socket = await connected(t);
  let late;
  socket.on("question", (_, ack) => (late = ack));
  assert.deepEqual(await socket.emitWithAck("ask", 100, "q"), { timeout: true });
  late("too late");
  await settled(socket);
});

feature("700 kB of text go both ways", async (t) => {
  const socket = await connected(t);
  const text = randomBytes(350_000).toString("hex");
  assert.equal(await socket.timeout(20_000).emitWithAck("echo", text), text);
});

feature("700 kB of binary go both ways", async (t) => {
  const socket = await connected(t);
  const bytes = randomBytes(700_000);
  const echoed = await socket.timeout(20_000).emitWithAck("echo", bytes);
  assert.ok(Buffer.from(echoed).equals(bytes));
});

feature("text that compresses well comes back whole", async (t) => {
  const socket = await connected(t);
  const list = Array.from({ length: 3000 }, (_, n) => ({ n, name: "somebody", room: "lobby" }));
  assert.deepEqual(await socket.emitWithAck("echo", list), list);
});

feature("a payload above the limit closes the connection", async (t) => {
  const socket = await connected(t);
  const gone = next(socket, "disconnect");
  socket.emit("echo", "x".repeat(1_200_000), () => {});
  const [reason] = await gone;
  assert.ok(["transport close", "transport error"].includes(reason), reason);
});

feature("10,000 events, a hundred in flight, are handled and acked in order", { timeout: 60_000 }, async (t) => {
  const socket = await connected(t);
  const acked = [];
  for (let n = 0; n < 10_000; n += 100) {
    const batch = Array.from({ length: 100 }, (_, i) =>
      new Promise((resolve) => socket.emit("position", n + i, (...pair) => resolve(acked.push(pair)))),
    );
    await within(Promise.all(batch), `acks after ${n}`);
  }
  acked.forEach(([n, position], index) => assert.deepEqual([n, position], [index, index]));
});

feature("10,000 events at once are handled and acked in order", { timeout: 60_000 }, async (t) => {
  const socket = await connected(t);
  const acked = [];
  const all = new Promise((resolve) => {
    for (let n = 0; n < 10_000; n++) {
      socket.emit("position", n, (...pair) => acked.push(pair) === 10_000 && resolve());
    }
  });
  await within(all, "10,000 acks", 50_000);
  acked.forEach(([n, position], index) => assert.deepEqual([n, position], [index, index]));
});

feature("a burst of 2,000 events from the server arrives whole and in order", async (t) => {
  const socket = await connected(t);
  const ticks = record(socket, "tick");
  socket.emit("burst", 2000, 100);
  await ticks.reach(2000);
  await settled(socket);
  assert.deepEqual(ticks.map(([n]) => n), Array.from({ length: 2000 }, (_, n) => n));
});

feature("volatile events reach a client that reads", async (t) => {
  const socket = await connected(t);
  const seen = record(socket, "volatile:event");
  // Over polling a volatile event is dropped between two polls, which is what volatile means: so ask until one arrives.
  for (let attempt = 0; attempt < 50 && seen.length === 0; attempt++) {
    await socket.emitWithAck("volatile", 1, 10);
    await settled(socket);
  }
  assert.ok(seen.length > 0);
});

feature("volatile events may be lost, never doubled or out of order, and harm no reliable one", async (t) => {
  const socket = await connected(t);
  const seen = record(socket, "volatile:event");
  await socket.emitWithAck("volatile", 500, 1000);
  await settled(socket);
  const numbers = seen.map(([n]) => n);
  assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b));
  assert.ok(numbers.length <= 500);
  assert.equal(await socket.emitWithAck("echo", "reliable"), "reliable");
});

feature("text and binary events interleaved keep their order", async (t) => {
  const socket = await connected(t);
  const seen = record(socket, "echoed");
  for (let n = 0; n < 200; n++) socket.emit("echo:back", n % 3 === 0 ? Buffer.from([n]) : n);
  await seen.reach(200);
  assert.deepEqual(seen.map((value) => (typeof value === "number" ? value : Buffer.from(value)[0])), Array.from({ length: 200 }, (_, n) => n));
});

if (mode === "upgrade") {
  /// Opens late, so that the traffic is well under way over polling when the upgrade begins.
  class LateWebSocket extends NodeWebSocket {
    doOpen() {
      setTimeout(() => super.doOpen(), 30);
    }
  }

  feature("the upgrade during traffic loses and doubles nothing", async (t) => {
    for (let round = 0; round < 5; round++) {
      const socket = client(t, "/", { transports: [NodeXHR, LateWebSocket] });
      socket.once("disconnect", (reason, details) => t.diagnostic(`${reason} ${details?.description?.message ?? details?.description}`));
      const ticks = record(socket, "tick");
      const acked = [];
      let sent = 0;
      let open = true;
      const send = () => {
        // Bounded, because the client reckons a body of many binary packets too small, and the server refuses it.
        for (let i = 0; i < 5 && sent - acked.length < 500; i++) socket.emit("position", sent++, (...pair) => acked.push(pair));
        if (open && socket.connected) setImmediate(send);
      };
      socket.connect();
      await next(socket, "connect");
      assert.equal(socket.io.engine.transport.name, "polling");
      send();
      for (let n = 0; n < 10; n++) {
        socket.emit("burst", 20, 100);
        await pause(10);
      }
      await upgraded(socket);
      socket.emit("burst", 200, 100);
      open = false;
      await pause(0); // the last turn of `send`
      await ticks.reach(400);
      await settled(socket);
      assert.deepEqual(acked, Array.from({ length: sent }, (_, n) => [n, n]));
      const numbers = ticks.map(([n]) => n);
      assert.deepEqual(numbers.slice(-200), [...Array(200).keys()]);
      assert.deepEqual(numbers.slice(0, 200), Array.from({ length: 10 }, () => [...Array(20).keys()]).flat());
      socket.disconnect();
    }
  });
}
