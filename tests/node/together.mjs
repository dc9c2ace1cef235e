// Users on two nodes, in one room in which they are shown to each other. Step by step, as the lines on stdin say, they come,
// type, read, move to the other node and lose one; every client keeps what it was told, and whatever should not be is a
// fault in the report.

import { parseArgs } from "node:util";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";

const { values: options } = parseArgs({ options: { nodes: { type: "string" }, tokens: { type: "string" } } });
const ports = options.nodes.split(",").map(Number);
const tokens = JSON.parse(options.tokens);
const room = "together";
const faults = [];
const fault = (text) => faults.push(text);
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const clients = new Map();

// How late what is read in this turn may be, because this process had no turn.
const TICK_MS = 20;
let ticked = performance.now();
let tickedLate = 0;
setInterval(() => {
  const now = performance.now();
  tickedLate = now - ticked - TICK_MS;
  ticked = now;
}, TICK_MS);
const lateness = () => Math.max(tickedLate, performance.now() - ticked - TICK_MS, 0);

class Client {
  constructor(user, port) {
    Object.assign(this, { user, port, sees: undefined, typing: [], receipts: new Map(), told: [] });
    this.#connect();
  }

  #connect() {
    // A return to another node is a new manager, which is given what the old one remembered.
    const before = this.socket;
    this.socket = io(`http://127.0.0.1:${this.port}`, {
      transports: ["websocket"],
      auth: { token: tokens[this.user] },
      reconnection: false,
      forceNew: true,
      autoConnect: false,
    });
    if (before) Object.assign(this.socket, { _pid: before._pid, _lastOffset: before._lastOffset });
    this.socket.on("presence", (event) => this.#presence(event));
    this.socket.on("typing", (event) => this.#typing(event));
    this.socket.on("receipt", ({ marks }) => marks.forEach((mark) => this.receipts.set(mark.user, mark)));
    this.socket.connect();
  }

  async enter() {
    await new Promise((resolve) => this.socket.once("connect", resolve));
    const { ok, members, count } = await this.socket.emitWithAck("room:join", { room, presence: true });
    if (!ok || members.length !== count) fault(`${this.user} was shown ${members?.length} of ${count}`);
    this.sees = new Set(members.map(({ user }) => user));
    if (!this.sees.has(this.user)) fault(`${this.user} is not shown themselves`);
  }

  /// Breaks, and comes back to the other node.
  async move(port, awayMs) {
    this.socket.io.engine.close();
    await sleep(awayMs);
    this.port = port;
    this.#connect();
    await new Promise((resolve) => this.socket.once("connect", resolve));
    if (!this.socket.recovered) fault(`${this.user} was not recovered`);
  }

  #presence({ count, joined, left, changed, partial }) {
    const now = performance.now();
    const last = this.told.at(-1);
    // What comes over the network may be held up and then come with the next, and what has come may not be read at once.
    if (last && now - last.since < 800) fault(`${this.user} was told twice within ${now - last.since} ms`);
    this.told.push({ since: now - lateness(), joined: joined.map(({ user }) => user), left, partial });
    for (const { user } of joined) {
      if (this.sees.has(user)) fault(`${this.user}: ${user} joined and was there`);
      this.sees.add(user);
    }
    for (const user of left) if (!this.sees.delete(user)) fault(`${this.user}: ${user} left and was not there`);
    for (const { user } of changed) if (!this.sees.has(user)) fault(`${this.user}: ${user} changed and was not there`);
    if (!partial && count !== this.sees.size) fault(`${this.user} sees ${this.sees.size} of ${count}`);
  }

  #typing({ users, more }) {
    if (users.includes(this.user)) fault(`${this.user} is told of themselves`);
    this.typing = users;
    this.more = more;
  }
}

async function until(what, milliseconds, holds) {
  const begun = performance.now();
  while (!holds()) {
    if (performance.now() - begun > milliseconds) {
      fault(`${what}: not within ${milliseconds} ms`);
      break;
    }
    await sleep(5);
  }
  return Math.round(performance.now() - begun);
}

const all = () => [...clients.values()];
const seeExactly = (users) => () =>
  all().every(({ sees }) => sees.size === users.length && users.every((user) => sees.has(user)));

const steps = {
  async come() {
    for (const [number, user] of Object.keys(tokens).entries()) {
      const client = new Client(user, ports[number % 2]);
      await client.enter();
      clients.set(user, client);
    }
    return { came_ms: await until("all see all", 3_000, seeExactly([...clients.keys()])) };
  },

  async type() {
    const [typist, ...others] = all();
    await typist.socket.emitWithAck("typing:start", { room });
    const seen_ms = await until("typing is seen", 1_500, () => others.every(({ typing }) => typing.includes(typist.user)));
    await sleep(1_000);
    await typist.socket.emitWithAck("message:send", { room, body: "typed" });
    const gone_ms = await until("it is gone", 200, () => others.every(({ typing }) => typing.length === 0));
    return { seen_ms, gone_ms };
  },

  async read() {
    const [reader] = all();
    const { seq } = await reader.socket.emitWithAck("message:send", { room, body: "read me" });
    await reader.socket.emitWithAck("message:read", { room, seq });
    const all_know = () => all().every(({ receipts }) => receipts.get(reader.user)?.read === seq);
    return { read_ms: await until("it is known to be read", 2_000, all_know) };
  },

  /// They are back within the three seconds for which nobody is told that they were away.
  async move() {
    await sleep(1_500);
    const before = all().map(({ told }) => told.length);
    const movers = all().slice(0, 4);
    await Promise.all(movers.map((client) => client.move(ports.find((port) => port !== client.port), 1_200)));
    await sleep(6_000);
    for (const [number, { user, told }] of all().entries()) {
      const events = told.slice(before[number]).filter(({ partial }) => !partial);
      if (events.length > 0) fault(`${user} was told of a return: ${JSON.stringify(events)}`);
    }
    if (!seeExactly([...clients.keys()])()) fault("somebody is not seen after a return");
    return {};
  },

  async leave() {
    const leaver = all().at(-1);
    clients.delete(leaver.user);
    await sleep(1_500);
    leaver.socket.disconnect();
    return { left_ms: await until("a leave is seen", 1_000, seeExactly([...clients.keys()])) };
  },

  async lose(port) {
    for (const client of all().filter((client) => client.port === Number(port))) clients.delete(client.user);
    return { lost_ms: await until("the dead are gone", 8_000, seeExactly([...clients.keys()])) };
  },
};

tell({ ready: true });
createInterface({ input: process.stdin }).on("line", async (line) => {
  const [step, argument] = line.split(" ");
  const report = await steps[step](argument);
  tell({ ...report, faults: faults.splice(0) });
});
