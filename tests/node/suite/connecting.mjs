// The handshake, the transport, and namespaces with their auth.

import assert from "node:assert/strict";
import { once } from "node:events";
import { client, connected, next, settled } from "../lib/client.mjs";
import { deflate, feature, mode } from "../lib/context.mjs";

feature("the handshake tells session id, upgrades, heartbeat and largest payload", async (t) => {
  const socket = client(t);
  socket.connect();
  const [handshake] = await next(socket.io.engine, "handshake");
  assert.equal(typeof handshake.sid, "string");
  assert.ok(handshake.sid.length >= 16, "a session id is a secret, so it cannot be short");
  assert.deepEqual(handshake.upgrades, mode === "websocket" ? [] : ["websocket"]);
  assert.equal(handshake.pingInterval, 25_000);
  assert.equal(handshake.pingTimeout, 20_000);
  assert.equal(handshake.maxPayload, 1_000_000);
});

feature("the client ends up on the transport that it asked for", async (t) => {
  const socket = await connected(t);
  await settled(socket);
  assert.equal(socket.io.engine.transport.name, mode === "polling" ? "polling" : "websocket");
});

feature("per-message deflate is used exactly when both sides want it", async (t) => {
  if (mode === "polling") return t.skip("no websocket");
  const socket = await connected(t);
  assert.equal("permessage-deflate" in socket.io.engine.transport.ws._extensions, deflate);
});

feature("the public socket id is not the secret session id", async (t) => {
  const socket = await connected(t);
  assert.equal((await socket.welcome).id, socket.id);
  assert.notEqual(socket.id, socket.io.engine.id);
});

feature("every CONNECT gets a socket id of its own", async (t) => {
  const plain = await connected(t);
  const admin = plain.io.socket("/admin", { auth: { token: "open sesame" } });
  admin.connect();
  await next(admin, "connect");
  const before = admin.id;
  assert.notEqual(before, plain.id);
  admin.disconnect();
  await settled(plain);
  admin.connect();
  await next(admin, "connect");
  assert.notEqual(admin.id, before);
});

feature("a namespace left and entered again in one breath", async (t) => {
  const plain = await connected(t);
  const admin = plain.io.socket("/admin", { auth: { token: "open sesame" } });
  admin.connect();
  await next(admin, "connect");
  admin.disconnect().connect();
  await next(admin, "connect");
  await settled(admin);
});

feature("auth given as an object arrives", async (t) => {
  const socket = await connected(t, "/", { auth: { token: "abc", nested: { list: [1, null, "x"] } } });
  assert.deepEqual((await socket.welcome).auth, { token: "abc", nested: { list: [1, null, "x"] } });
});

feature("auth given as a function arrives", async (t) => {
  const socket = await connected(t, "/", { auth: (give) => setTimeout(() => give({ late: true }), 10) });
  assert.deepEqual((await socket.welcome).auth, { late: true });
});

feature("no auth is an empty object", async (t) => {
  const socket = await connected(t);
  assert.deepEqual((await socket.welcome).auth, {});
});

feature("a namespace that asks for auth lets the right token in", async (t) => {
  const socket = await connected(t, "/admin", { auth: { token: "open sesame" } });
  assert.deepEqual(await socket.emitWithAck("echo", "inside"), "inside");
});

feature("a refused CONNECT is a connect_error with its message, and leaves the client out", async (t) => {
  const socket = client(t, "/admin", { auth: { token: "wrong" } });
  socket.connect();
  const [error] = await next(socket, "connect_error");
  assert.equal(error.message, "unauthorized");
  assert.equal(socket.connected, false);
  assert.equal(socket.active, false, "refused by the server: the client does not try again by itself");
});

feature("a refused CONNECT carries data", async (t) => {
  const socket = client(t, "/admin", { auth: { token: "wrong" } });
  socket.connect();
  const [error] = await next(socket, "connect_error");
  assert.deepEqual(error.data, { code: 104, reason: "unauthorized", retryable: false });
});

feature("after a refusal the same connection may try again with better auth", async (t) => {
  const socket = client(t, "/admin", { auth: { token: "wrong" } });
  socket.connect();
  await next(socket, "connect_error");
  socket.auth = { token: "open sesame" };
  socket.connect();
  await next(socket, "connect");
  assert.equal(await socket.emitWithAck("echo", 1), 1);
});

feature("an unknown namespace is refused", async (t) => {
  const socket = client(t, "/nowhere");
  socket.connect();
  const [error] = await next(socket, "connect_error");
  assert.equal(error.message, "Invalid namespace");
});

feature("two namespaces share one connection and stay apart", async (t) => {
  const plain = await connected(t);
  const admin = plain.io.socket("/admin", { auth: { token: "open sesame" } });
  admin.connect();
  await next(admin, "connect");
  const strays = [];
  admin.on("echoed", (n) => strays.push(n));
  plain.emit("echo:back", "for the plain one");
  const [echoed] = await next(plain, "echoed");
  assert.equal(echoed, "for the plain one");
  await settled(admin);
  assert.deepEqual(strays, []);
});

feature("a refused namespace does not harm its neighbour", async (t) => {
  const plain = await connected(t);
  const admin = plain.io.socket("/admin", { auth: { token: "wrong" } });
  admin.connect();
  await next(admin, "connect_error");
  await settled(plain);
});

feature("leaving one namespace leaves the other, and one can come back", async (t) => {
  const plain = await connected(t);
  const admin = plain.io.socket("/admin", { auth: { token: "open sesame" } });
  admin.connect();
  await next(admin, "connect");
  const gone = once(admin, "disconnect");
  admin.disconnect();
  assert.equal((await gone)[0], "io client disconnect");
  await settled(plain);
  admin.connect();
  await next(admin, "connect");
  await settled(admin);
});

feature("events that the client buffered before it was connected arrive in order", async (t) => {
  const socket = client(t);
  const answers = [];
  for (let n = 0; n < 5; n++) socket.emit("position", n, (...answer) => answers.push(answer));
  socket.connect();
  await next(socket, "connect");
  await settled(socket);
  assert.deepEqual(answers, [[0, 0], [1, 1], [2, 2], [3, 3], [4, 4]]);
});
