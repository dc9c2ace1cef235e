// Stock clients, as a user would make them, that close when their test ends.

import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { io } from "socket.io-client";
import * as msgpack from "socket.io-msgpack-parser";
import { deflate, mode, parser, url } from "./context.mjs";

const transports = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] }[mode];

/// A client that has not yet connected: for tests that want to listen first.
export function client(t, namespace = "/", options = {}) {
  const socket = io(url + namespace, {
    transports,
    forceNew: true,
    reconnection: false,
    autoConnect: false,
    parser: parser === "msgpack" ? msgpack : undefined,
    perMessageDeflate: deflate ? { threshold: 1024 } : false,
    ...options,
  });
  socket.welcome = new Promise((resolve) => socket.once("welcome", resolve));
  t.after(() => {
    // Other namespaces of the test may still hold the connection.
    socket.io.reconnection(false);
    socket.disconnect();
    socket.io.engine?.close();
  });
  return socket;
}

/// A connected client, over the transport that this run is about.
export async function connected(t, namespace = "/", options = {}) {
  const socket = client(t, namespace, options);
  socket.connect();
  await Promise.race([
    once(socket, "connect"),
    once(socket, "connect_error").then(([error]) => Promise.reject(error)),
  ]);
  if (mode === "upgrade") await upgraded(socket);
  return socket;
}

export async function upgraded(socket) {
  const engine = socket.io.engine;
  if (engine.transport.name !== "websocket") await within(once(engine, "upgrade"), "upgrade");
}

/// The next `event`, as the list of its arguments.
export function next(socket, event, milliseconds = 10_000) {
  return within(once(socket, event), event, milliseconds);
}

/// The promise, or a failure that names what was awaited.
export async function within(promise, what, milliseconds = 10_000) {
  const stop = new AbortController();
  const late = pause(milliseconds, undefined, { signal: stop.signal }).then(() => {
    throw new Error(`${what}: nothing within ${milliseconds} ms`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    stop.abort();
    late.catch(() => {});
  }
}

/// Keeps every `event` in a list from now on; `reach(n)` waits until n are there.
export function record(socket, event) {
  const list = [];
  let check = () => {};
  socket.on(event, (...args) => {
    list.push(args.length === 1 ? args[0] : args);
    check();
  });
  list.reach = (count, milliseconds = 10_000) =>
    within(
      new Promise((resolve) => {
        check = () => list.length >= count && resolve(list);
        check();
      }),
      `${count} of ${event}`,
      milliseconds,
    ).catch((error) => Promise.reject(new Error(`${error.message}, but ${list.length}`)));
  return list;
}

/// A round trip: whatever the server sent to this client before, it has arrived after this.
export async function settled(socket) {
  await socket.timeout(10_000).emitWithAck("echo", "settled");
}

let rooms = 0;
/// A room of this test alone.
export const freshRoom = () => `room-${process.pid}-${rooms++}`;
