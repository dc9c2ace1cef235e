// Stock clients that roam between nodes: every connection goes through a balancer of this process that picks a living
// node at random, cuts every few seconds, and turns a node off when told so. Two senders go on meanwhile, each message
// under an id of its own and sent again until it is acknowledged. At the end each receiver must have had every message of
// its rooms once and in order, and every return must have been a recovery.
//
// Standard output: {"ready"} when everybody is in, {"report"} at the end. Standard input: "drop <port>" takes a node out.

import { parseArgs } from "node:util";
import { createInterface } from "node:readline";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";

const { values: options } = parseArgs({
  options: {
    nodes: { type: "string" },
    tokens: { type: "string" },
    receivers: { type: "string" },
    rooms: { type: "string" },
    seconds: { type: "string" },
    rate: { type: "string" },
    offline: { type: "string" },
    transports: { type: "string" },
    seed: { type: "string" },
  },
});

const tokens = JSON.parse(options.tokens);
const rooms = Array.from({ length: Number(options.rooms) }, (_, number) => `roam:${number}`);
const random = generator(Number(options.seed));
let living = options.nodes.split(",").map(Number);

/// Mulberry32: the same seed gives the same run, as far as the network lets it.
function generator(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// The balancer.
const open = new Set();
const balancer = net.createServer((client) => {
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
const url = `http://127.0.0.1:${balancer.address().port}`;

const receivers = [];
for (let number = 0; number < Number(options.receivers); number++) receivers.push(await receiver(number));
const senders = [];
for (const user of ["sender-0", "sender-1"]) senders.push(await sender(user));
console.log(JSON.stringify({ ready: receivers.length }));

createInterface({ input: process.stdin }).on("line", (line) => {
  const [word, port] = line.split(" ");
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
  const client = { user, socket, fresh: 0, recovered: 0, refused: [], left: [] };
  socket.on("connect_error", (error) => error.data && client.refused.push(error.data));
  socket.on("disconnect", (reason) => client.left.push(reason));
  return client;
}

async function entered(client) {
  if (!client.socket.connected) await new Promise((resolve) => client.socket.once("connect", resolve));
  client.socket.on("connect", () => (client.socket.recovered ? client.recovered++ : client.fresh++));
}

async function receiver(number) {
  const client = { ...connect(`receiver-${number}`), got: {}, faults: [] };
  await entered(client);
  const mine = rooms.filter((_, index) => (index + number) % 2 === 0 || rooms.length < 3);
  for (const room of mine) {
    const { ok, seq, error } = await client.socket.emitWithAck("room:join", { room });
    if (!ok) throw new Error(`${client.user}: ${JSON.stringify(error)}`);
    client.got[room] = { next: seq + 1, seen: new Set() };
  }
  client.socket.on("resync", (data) => client.faults.push({ resync: data }));
  client.socket.on("message", ({ room, seq, id }) => {
    const got = client.got[room];
    if (!got) return room.startsWith("user:") || client.faults.push({ stranger: room });
    if (seq !== got.next) client.faults.push({ room, seq, expected: got.next });
    if (got.seen.has(id)) client.faults.push({ room, doubled: id });
    got.next = seq + 1;
    got.seen.add(id);
  });
  return client;
}

async function sender(user) {
  const client = { ...connect(user), sent: {}, retries: 0, slowest: 0 };
  await entered(client);
  for (const room of rooms) {
    await client.socket.emitWithAck("room:join", { room });
    client.sent[room] = 0;
  }
  return client;
}

// Each room of each sender has one message on its way at a time, so that the order of sending is known.
let sending = true;
async function send(client, room) {
  for (let number = 0; sending; number++) {
    const id = `${client.user}.${room}.${number}`;
    const first = performance.now();
    for (;;) {
      const age_ms = Math.round(performance.now() - first);
      const message = { room, id, age_ms, body: number };
      // No answer, because of time or of a cut: it may have arrived, and the id tells.
      const answer = await client.socket.timeout(3000).emitWithAck("message:send", message).catch(() => null);
      if (answer?.ok) break;
      if (answer && !answer.error.retryable) throw new Error(JSON.stringify(answer.error));
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
const end = Date.now() + Number(options.seconds) * 1000;
while (Date.now() < end) {
  await sleep(200);
  for (const pair of [...open]) if (random() < 0.05) pair.end();
}
sending = false;
await Promise.all(work);

const total = (room) => senders.reduce((sum, client) => sum + client.sent[room], 0);
const missing = () =>
  receivers.flatMap(({ user, got }) =>
    Object.entries(got)
      .filter(([room, { seen }]) => seen.size !== total(room))
      .map(([room, { seen }]) => ({ user, room, got: seen.size, of: total(room) })),
  );
for (const patience = Date.now() + 20_000; missing().length > 0 && Date.now() < patience; ) await sleep(50);

const all = [...receivers, ...senders];
const report = {
  messages: rooms.reduce((sum, room) => sum + total(room), 0),
  retries: senders.reduce((sum, client) => sum + client.retries, 0),
  slowest_ms: Math.round(Math.max(...senders.map((client) => client.slowest))),
  recovered: all.reduce((sum, client) => sum + client.recovered, 0),
  fresh: all.reduce((sum, client) => sum + client.fresh, 0),
  refused: all.flatMap((client) => client.refused),
  faults: receivers.flatMap(({ user, faults }) => faults.map((fault) => ({ user, ...fault }))).slice(0, 20),
  missing: missing().slice(0, 20),
};
process.stdout.write(JSON.stringify({ report }) + "\n", () => process.exit(0));
