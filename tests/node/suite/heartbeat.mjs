// A short heartbeat: clients stay for as long as they answer, and leave when the server falls silent.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { connected, record, settled } from "../lib/client.mjs";
import { feature, mode } from "../lib/context.mjs";

const interval = Number(process.env.SUITE_PING_INTERVAL_MS);
/// By then a client that answers none of its pings is gone.
const lifetime = interval + Number(process.env.SUITE_PING_TIMEOUT_MS);

feature("pings come at their interval and the connection stays", async (t) => {
  const begun = performance.now();
  const socket = await connected(t);
  const pings = record(socket.io.engine, "ping");
  const count = Math.ceil(lifetime / interval) + 2;
  await pings.reach(count, 3 * lifetime);
  // Never sooner, but for a server whose first one comes at once.
  const took = performance.now() - begun;
  assert.ok(took > (count - 1) * interval * 0.9, `${count} pings within ${took} ms`);
  assert.equal(socket.connected, true);
  await settled(socket);
});

feature("a client that is busy sending stays as well", async (t) => {
  const socket = await connected(t);
  for (const end = Date.now() + lifetime + interval; Date.now() < end; ) {
    assert.equal(await socket.emitWithAck("echo", 1), 1);
    await pause(1);
  }
  assert.equal(socket.connected, true);
});

feature("a client that does not pong is let go", async (t) => {
  const socket = await connected(t);
  const reason = new Promise((resolve) => socket.on("disconnect", resolve));
  // The stock client answers each ping packet; this one only swallows them.
  const engine = socket.io.engine;
  const send = engine._sendPacket;
  engine._sendPacket = (type, ...rest) => type === "pong" || send.call(engine, type, ...rest);
  assert.ok(["transport close", "transport error"].includes(await reason));
  assert.equal(socket.connected, false);
});

feature("parked polls carry the pings", async (t) => {
  if (mode !== "polling") return t.skip("not polling");
  const socket = await connected(t);
  const pings = record(socket.io.engine, "ping");
  await pings.reach(3, 3 * lifetime);
  assert.equal(socket.io.engine.transport.name, "polling");
});
