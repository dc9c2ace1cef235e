// Stock clients that roam between nodes: every connection goes through a balancer of this process that picks a living
// node at random, cuts every few seconds, and turns a node off when told so. Two senders go on meanwhile, each message
// under an id of its own and sent again until it is acknowledged. At the end each receiver must have had every message of
// its rooms once and in order, and every return must have been a recovery.
//
// With `--record` every event goes to a file, as lines of the history that is held against the laws afterwards; then a session
// that could not be recovered is no fault by itself: its rooms are joined again from where the client stood.
//
// Standard output: {"ready"} when everybody is in, {"report"} at the end. Standard input: "drop <port>" takes a node out, "add
// <port>" puts one in, "end" ends it before its time.

import { parseArgs } from "node:util";
import { createInterface } from "node:readline";
import { createWriteStream } from "node:fs";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";

const { values: options } = parseArgs({
  options: {
    nodes: { type: "string" },
    scheme: { type: "string", default: "http" },
    cut: { type: "string", default: "0.05" },
    tokens: { type: "string" },
    receivers: { type: "string" },
    rooms: { type: "string" },
    seconds: { type: "string" },
    rate: { type: "string" },
    offline: { type: "string" },
    transports: { type: "string" },
    seed: { type: "string" },
    record: { type: "string" },
  },
});

const tokens = JSON.parse(options.tokens);
const rooms = Array.from({ length: Number(options.rooms) }, (_, number) => `roam:${number}`);
const random = generator(Number(options.seed));
let living = options.nodes.split(",").map(Number);

const record = options.record && createWriteStream(options.record);
const origin_us = performance.timeOrigin * 1000;
function note(who, event, data = {}) {
  if (record) record.write(JSON.stringify({ at_us: Math.round(origin_us + performance.now() * 1000), who, event, ...data }) + "\n");
}

/// Mulberry32: the same seed gives the same run, as far as the network lets it.
function generator(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/// In every message's id. Who runs twice on one system would else be answered for the messages of the first time, which nobody is
/// given again.
const run = Date.now().toString(36);

// The balancer.
const open = new Set();
const balancer = net.createServer((client) => {
  if (living.length === 0) return client.destroy();
  const port = living[Math.floor(random() * living.length)];
  const upstream = net.connect(port, "127.0.0.1");
  const pair = { client, upstream, port, end: () => (client.destroy(), upstream.destroy(), open.delete(pair)) };
  open.add(pair);
  client.setNoDelay(true);
  upstream.setNoDelay(true);
  client.pipe(upstream).pipe(client);
  for (const socket of [client, upstream]) socket.on("error", pair.end).on("close", pair.end);
});
await new Promise((resolve) => balancer.listen(0, "127.0.0.1", resolve));
// Over TLS by its name, since whoever has several asks for it.
const url = `${options.scheme}://${options.scheme === "https" ? "localhost" : "127.0.0.1"}:${balancer.address().port}`;

const receivers = [];
for (let number = 0; number < Number(options.receivers); number++) receivers.push(await receiver(number));
const senders = [];
for (const user of ["sender-0", "sender-1"]) senders.push(await sender(user));
console.log(JSON.stringify({ ready: receivers.length }));

let end = Date.now() + Number(options.seconds) * 1000;
createInterface({ input: process.stdin }).on("line", (line) => {
  const [word, port] = line.split(" ");
  if (word === "end") end = 0;
  if (word === "add") living.push(Number(port));
  if (word !== "drop") return;
  living = living.filter((other) => other !== Number(port));
  for (const pair of open) if (pair.port === Number(port)) pair.end();
});

function connect(user) {
  const socket = io(url, {
    transports: options.transports.split(","),
    forceNew: true,
    auth: { token: tokens[user] },
    reconnectionDelay: Number(options.offline),
    reconnectionDelayMax: Number(options.offline) + 500,
    randomizationFactor: 0.1,
    timeout: 5000,
  });
  const client = { user, socket, fresh: 0, recovered: 0, refused: [], left: [], failed: null };
  socket.on("connect_error", (error) => {
    if (error.data) client.refused.push(error.data);
    client.failed = `${error.message} ${error.context?.status ?? ""}`;
  });
  socket.on("connect", () => note(user, "connect", { user }));
  socket.on("session", ({ recovered }) => note(user, "session", { recovered }));
  socket.on("disconnect", (reason) => {
    note(user, "disconnect", { reason });
    client.left.push(reason);
  });
  return client;
}

async function entered(client, again) {
  if (!client.socket.connected) await new Promise((resolve) => client.socket.once("connect", resolve));
  client.socket.on("connect", () => {
    if (client.socket.recovered) return client.recovered++;
    client.fresh++;
    if (record) again();
  });
}

/// Until it is answered; while the connection is away the stock client keeps it for later. `take` is given the answer at once: who
/// awaits it in Node goes on only after what came right behind it was handled.
async function join(client, room, since = () => undefined, take = () => {}) {
  for (;;) {
    const answer = await new Promise((resolve) =>
      client.socket.timeout(5000).emit("room:join", { room, since: since() }, (error, answer) => {
        if (answer?.ok) take(answer);
        resolve(error ? null : answer);
      }),
    );
    if (answer?.ok) return answer;
    if (answer && !answer.error.retryable) throw new Error(`${client.user}: ${JSON.stringify(answer.error)}`);
    await sleep(answer?.error.retry_after_ms ?? 250);
  }
}

async function receiver(number) {
  const client = { ...connect(`receiver-${number}`), got: {}, faults: [] };
  const user = client.user;
  const take = ({ room, epoch, seq, id, from, body }) => {
    const got = client.got[room];
    if (!got) return room.startsWith("user:") || client.faults.push({ stranger: room });
    note(user, "message", { room, epoch, seq, id, from, body: String(body) });
    if (seq !== got.next) client.faults.push({ room, seq, expected: got.next });
    if (got.seen.has(id)) client.faults.push({ room, doubled: id });
    got.next = seq + 1;
    got.epoch = epoch;
    got.seen.add(id);
  };
  const since = ({ epoch, next }) => `${epoch}:${next - 1}`;
  const enter = (room) =>
    join(
      client,
      room,
      () => client.got[room] && since(client.got[room]),
      ({ epoch, seq, recovered, messages }) => {
        note(user, "join", { room, epoch, seq: recovered ? client.got[room].next - 1 : seq, recovered });
        if (recovered) return messages.forEach(take);
        client.got[room] = { next: seq + 1, epoch, seen: new Set() };
      },
    );
  const mine = rooms.filter((_, index) => (index + number) % 2 === 0 || rooms.length < 3);
  await entered(client, () => mine.forEach(enter));
  for (const room of mine) await enter(room);
  client.socket.on("resync", ({ room, epoch, seq }) => {
    note(user, "resync", { room, epoch, seq });
    if (!record) client.faults.push({ resync: { room, epoch, seq } });
    if (client.got[room]) Object.assign(client.got[room], { next: seq + 1, epoch });
  });
  client.socket.on("message", take);
  return client;
}

async function sender(user) {
  const client = { ...connect(user), sent: {}, retries: 0, slowest: 0 };
  await entered(client, () => rooms.forEach((room) => join(client, room)));
  for (const room of rooms) {
    await join(client, room);
    client.sent[room] = 0;
  }
  return client;
}

// Each room of each sender has one message on its way at a time, so that the order of sending is known.
let sending = true;
async function send(client, room) {
  for (let number = 0; sending; number++) {
    const id = `${run}.${client.user}.${room}.${number}`;
    const first = performance.now();
    for (;;) {
      const age_ms = Math.round(performance.now() - first);
      const message = { room, id, age_ms, body: number };
      // No answer, because of time or of a cut: it may have arrived, and the id tells.
      note(client.user, "send", { room, id, from: client.user, body: String(number) });
      const answer = await client.socket.timeout(3000).emitWithAck("message:send", message).catch(() => null);
      const { epoch, seq } = answer ?? {};
      if (answer?.ok) {
        note(client.user, "ack", { room, id, from: client.user, epoch, seq, level: "replicated" });
        break;
      }
      // After a session that could not be recovered the room is being joined again.
      const retryable = answer?.error.retryable || answer?.error.reason === "not_in_room";
      if (answer) note(client.user, "refused", { room, id, from: client.user, retryable });
      if (answer && !retryable) throw new Error(JSON.stringify(answer.error));
      client.retries++;
      await sleep(Math.max(answer?.error.retry_after_ms ?? 0, 50));
    }
    client.slowest = Math.max(client.slowest, performance.now() - first);
    client.sent[room]++;
    await sleep(1000 / Number(options.rate));
  }
}

const work = senders.flatMap((client) => rooms.map((room) => send(client, room)));

// Cut connections every few seconds at random.
while (Date.now() < end) {
  await sleep(200);
  for (const pair of [...open]) if (random() < Number(options.cut)) pair.end();
}
sending = false;
await Promise.all(work);

const total = (room) => senders.reduce((sum, client) => sum + client.sent[room], 0);
/// What its client makes of it.
const state = ({ connected, io: { engine } }) => ({
  connected,
  transport: `${engine.transport.name} ${engine.transport.readyState}`,
  upgrading: engine.upgrading,
});
const missing = () =>
  receivers.flatMap(({ user, got, socket, failed }) =>
    Object.entries(got)
      .filter(([room, { seen }]) => seen.size !== total(room))
      .map(([room, { seen }]) => ({ user, room, got: seen.size, of: total(room), ...state(socket), failed })),
  );
// Longer than a heartbeat with its timeout: a client that is cut in the middle of its change to a websocket hears nothing until it
// misses that (deaf.mjs).
for (const patience = Date.now() + 60_000; missing().length > 0 && Date.now() < patience; ) await sleep(50);

// The log, as it stands in the end.
if (record) {
  await sleep(1000);
  for (const room of rooms) {
    for (let after = 0, more = true, first = true; more; first = false) {
      const page = { room, after, limit: 100 };
      const { messages, more: rest } = await senders[0].socket.timeout(5000).emitWithAck("message:history", page);
      if (first) note("log", "log_start", { room, seq: messages[0]?.seq ?? 1 });
      for (const { epoch, seq, id, from, body } of messages) {
        note("log", "logged", { room, epoch, seq, id, from, body: String(body) });
        after = seq;
      }
      more = rest && messages.length > 0;
    }
  }
  note("log", "end");
  await new Promise((resolve) => record.end(resolve));
}

/// How often each was said.
const counts = (words) => words.reduce((sums, word) => ({ ...sums, [word]: (sums[word] ?? 0) + 1 }), {});

const all = [...receivers, ...senders];
const report = {
  messages: rooms.reduce((sum, room) => sum + total(room), 0),
  retries: senders.reduce((sum, client) => sum + client.retries, 0),
  slowest_ms: Math.round(Math.max(...senders.map((client) => client.slowest))),
  recovered: all.reduce((sum, client) => sum + client.recovered, 0),
  fresh: all.reduce((sum, client) => sum + client.fresh, 0),
  refused: all.flatMap((client) => client.refused),
  left: counts(all.flatMap((client) => client.left)),
  most_left: Math.max(...all.map((client) => client.left.length)),
  faults: receivers.flatMap(({ user, faults }) => faults.map((fault) => ({ user, ...fault }))).slice(0, 20),
  missing: missing().slice(0, 20),
};
process.stdout.write(JSON.stringify({ report }) + "\n", () => process.exit(0));
