// Stock clients under constant traffic while the servers behind their address are exchanged one after the other. They are
// given to one of the entries at random, in turn, as a balancer without any knowledge does it, and come back as the stock
// client does.
//
// Senders go on meanwhile, each message under an id of its own and sent again until it is acknowledged. Every delivery is
// timed, from the sending to the receiver's handler, and counted for the phase in which it was sent; what was sent while its
// receiver was away is counted apart, as recovered. At the end each receiver must have had every message of its room once and
// in order.
//
// Standard input: "phase <name>" begins a phase, "drop <port>" takes an entry out for those who come, "add <port>" puts one
// in, "count" asks how often clients have come back so far, "end" ends it.
// Standard output: {"ready"} when everybody is in, {"count"} for each question, {"report"} at the end.

import { parseArgs } from "node:util";
import { createInterface } from "node:readline";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";

const { values: options } = parseArgs({
  options: {
    entries: { type: "string" },
    tokens: { type: "string" },
    receivers: { type: "string" },
    rooms: { type: "string" },
    rate: { type: "string" },
    transports: { type: "string" },
  },
});

const tokens = JSON.parse(options.tokens);
const rooms = Array.from({ length: Number(options.rooms) }, (_, number) => `rolling:${number}`);
let living = options.entries.split(",").map(Number);

// The balancer. An entry that refuses is left for another, as every balancer does.
let turn = 0;
const balancer = net.createServer((client) => {
  client.setNoDelay(true);
  client.on("error", () => client.destroy());
  const attempt = (left) => {
    if (left === 0 || living.length === 0) return client.destroy();
    const upstream = net.connect(living[turn++ % living.length], "127.0.0.1");
    upstream.setNoDelay(true);
    let connected = false;
    upstream.on("connect", () => {
      connected = true;
      client.pipe(upstream).pipe(client);
      client.on("close", () => upstream.destroy());
    });
    upstream.on("error", () => (connected ? client.destroy() : attempt(left - 1)));
    // What was read before is still written.
    upstream.on("end", () => client.end());
  };
  attempt(3);
});
await new Promise((resolve) => balancer.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${balancer.address().port}`;

let phase = "before";
const delays = {};
const clients = [];

function connect(user) {
  const socket = io(url, {
    transports: options.transports.split(","),
    forceNew: true,
    auth: { token: tokens[user] },
    // The application heeds when it is told to come back; what is left is the stock client's.
    reconnectionDelay: 100,
    reconnectionDelayMax: 1000,
    timeout: 10_000,
  });
  const client = { user, socket, returns: 0, fresh: 0, attempts_failed: 0, refused: [], left: {}, closing: {}, away_ms: [], back_at: 0 };
  let away = 0;
  socket.on("connect_error", (error) => {
    client.attempts_failed++;
    if (error.data) client.refused.push(error.data);
  });
  socket.on("closing", ({ reason, reconnect_after_ms }) => {
    const key = `${reason}${reconnect_after_ms === undefined ? " without a time" : ""}`;
    client.closing[key] = (client.closing[key] ?? 0) + 1;
  });
  socket.on("disconnect", (reason) => {
    client.left[reason] = (client.left[reason] ?? 0) + 1;
    away = performance.now();
  });
  socket.on("connect", () => {
    if (!away) return;
    client.away_ms.push(performance.now() - away);
    client.back_at = performance.now();
    client.returns++;
    if (!socket.recovered) client.fresh++;
  });
  clients.push(client);
  return client;
}

async function entered(client) {
  if (!client.socket.connected) await new Promise((resolve) => client.socket.once("connect", resolve));
}

async function join(client, room) {
  for (;;) {
    const answer = await client.socket.timeout(5000).emitWithAck("room:join", { room }).catch(() => null);
    if (answer?.ok) return answer;
    if (answer && !answer.error.retryable) throw new Error(`${client.user}: ${JSON.stringify(answer.error)}`);
    await sleep(answer?.error.retry_after_ms ?? 250);
  }
}

const receivers = [];
for (let number = 0; number < Number(options.receivers); number++) {
  const client = Object.assign(connect(`receiver-${number}`), { seen: new Set(), faults: [], room: rooms[number % rooms.length] });
  await entered(client);
  let next;
  client.socket.on("message", ({ room, seq, id, body }) => {
    if (room !== client.room) return;
    if (next !== undefined && seq !== next) client.faults.push({ seq, expected: next });
    if (client.seen.has(id)) client.faults.push({ doubled: id });
    client.seen.add(id);
    next = seq + 1;
    const kind = body.at < client.back_at ? `${body.phase} recovered` : body.phase;
    (delays[kind] ??= []).push(performance.now() - body.at);
  });
  const { seq } = await join(client, client.room);
  next ??= seq + 1;
  receivers.push(client);
}
const senders = [];
for (const user of ["sender-0", "sender-1"]) {
  const client = Object.assign(connect(user), { sent: {}, retries: 0, slowest_ack_ms: 0 });
  await entered(client);
  for (const room of rooms) await join(client, room);
  senders.push(client);
}
console.log(JSON.stringify({ ready: receivers.length }));

let sending = true;
createInterface({ input: process.stdin }).on("line", (line) => {
  const [word, what] = line.split(" ");
  if (word === "phase") phase = what;
  if (word === "add") living.push(Number(what));
  if (word === "drop") living = living.filter((port) => port !== Number(what));
  if (word === "count") console.log(JSON.stringify({ count: clients.map(({ user, returns }) => [user, returns]) }));
  if (word === "end") sending = false;
});

async function send(client, room) {
  client.sent[room] = 0;
  for (let number = 0; sending; number++) {
    const id = `${client.user}.${room}.${number}`;
    const first = performance.now();
    for (;;) {
      // What waits within a client that is away has not been sent.
      await entered(client);
      const body = { at: performance.now(), phase };
      const age_ms = Math.round(body.at - first);
      const answer = await client.socket.timeout(3000).emitWithAck("message:send", { room, id, age_ms, body }).catch(() => null);
      if (answer?.ok) break;
      if (answer && !answer.error.retryable) throw new Error(JSON.stringify(answer.error));
      client.retries++;
      await sleep(Math.max(answer?.error.retry_after_ms ?? 0, 50));
    }
    client.slowest_ack_ms = Math.max(client.slowest_ack_ms, performance.now() - first);
    client.sent[room]++;
    await sleep(1000 / Number(options.rate));
  }
}
await Promise.all(senders.flatMap((client) => rooms.map((room) => send(client, room))));

const total = (room) => senders.reduce((sum, client) => sum + client.sent[room], 0);
const missing = () =>
  receivers.filter(({ seen, room }) => seen.size !== total(room)).map(({ user, seen, room }) => ({ user, got: seen.size, of: total(room) }));
for (const patience = Date.now() + 20_000; missing().length > 0 && Date.now() < patience; ) await sleep(50);

const rank = (values, share) => values.sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? null;
const rounded = (value) => value && Math.round(value * 10) / 10;
const sum = (field) =>
  clients.reduce((all, client) => {
    for (const [key, count] of Object.entries(client[field])) all[key] = (all[key] ?? 0) + count;
    return all;
  }, {});
const report = {
  messages: rooms.reduce((all, room) => all + total(room), 0),
  retries: senders.reduce((all, client) => all + client.retries, 0),
  slowest_ack_ms: Math.round(Math.max(...senders.map((client) => client.slowest_ack_ms))),
  phases: Object.fromEntries(
    Object.entries(delays).map(([name, values]) => [
      name,
      { deliveries: values.length, p50_ms: rounded(rank(values, 0.5)), p99_ms: rounded(rank(values, 0.99)), max_ms: rounded(rank(values, 1)) },
    ]),
  ),
  returns: Object.fromEntries(clients.map(({ user, returns }) => [user, returns])),
  away_ms: { p50: rounded(rank(clients.flatMap((client) => client.away_ms), 0.5)), max: rounded(rank(clients.flatMap((client) => client.away_ms), 1)) },
  attempts_failed: clients.reduce((all, client) => all + client.attempts_failed, 0),
  fresh: clients.reduce((all, client) => all + client.fresh, 0),
  refused: clients.flatMap((client) => client.refused).slice(0, 10),
  left: sum("left"),
  closing: sum("closing"),
  faults: receivers.flatMap(({ user, faults }) => faults.map((fault) => ({ user, ...fault }))).slice(0, 20),
  missing: missing().slice(0, 20),
};
process.stdout.write(JSON.stringify({ report }) + "\n", () => process.exit(0));
