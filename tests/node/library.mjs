// The client library in Node, over both of its links, through a way that can be cut. Each case prints one line; one that
// fails says why.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import net from "node:net";
import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { connect, TurnpikeError } from "../../web/turnpike.js";
import { over } from "../../web/socketio.js";
import { token as sign, seconds } from "./lib/token.mjs";

const text = { type: "string" };
const { values: options } = parseArgs({ options: { url: text, secret: text, link: text } });
const server = new URL(options.url);
// Rooms of this run alone.
const room = (name) => `lib:${name}:${run}`;
const run = randomBytes(4).toString("hex");
const everything = ["join", "send", "history", "presence", "typing"];
const tokenOf = (user, claims = {}) =>
  sign({ sub: user, rooms: [{ match: "*", can: everything }], ...claims }, { secret: options.secret });

/** What lies between client and server, and can be cut. */
class Way {
  #pairs = new Set();
  open = true;

  static async to({ hostname, port }) {
    const way = new Way();
    way.server = net.createServer((client) => {
      if (!way.open) return client.destroy();
      const other = net.connect(port, hostname);
      const pair = [client, other];
      way.#pairs.add(pair);
      for (const [from, to] of [pair, [other, client]]) {
        from.pipe(to);
        from.on("error", () => {});
        from.on("close", () => (to.destroy(), way.#pairs.delete(pair)));
      }
    });
    await new Promise((done) => way.server.listen(0, "127.0.0.1", done));
    return way;
  }

  get port() {
    return this.server.address().port;
  }

  cut() {
    this.open = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  mend() {
    this.open = true;
  }

  close() {
    this.cut();
    this.server.close();
  }
}

const clients = [];

function enter(user, { way, token = () => tokenOf(user), ...rest } = {}) {
  const port = way?.port ?? server.port;
  let client;
  if (options.link === "plain") {
    client = connect({ url: `ws://127.0.0.1:${port}/ws`, token, WebSocket, ...rest });
  } else {
    const auth = async (tell) => tell({ token: await token() });
    const socket = io(`http://127.0.0.1:${port}`, { autoConnect: false, forceNew: true, auth, reconnectionDelay: 100, reconnectionDelayMax: 500 });
    client = over(socket, { token, ...rest });
  }
  clients.push(client);
  return client;
}

/** Everything of this name that came, and a wait for more. */
function gather(client, name) {
  const all = [];
  client.on(name, (data) => all.push(data));
  return all;
}

async function until(holds, what, withinMs = 20_000) {
  const end = Date.now() + withinMs;
  while (!holds()) {
    if (Date.now() > end) assert.fail(`not within ${withinMs} ms: ${what()}`);
    await sleep(10);
  }
}

const cases = {
  async "messages arrive once and in order, and bytes are bytes"() {
    const [alice, bob] = [enter("alice"), enter("bob")];
    const heard = gather(bob, "message");
    const joined = await bob.join(room("order"));
    assert.deepEqual(joined.messages, []);
    await alice.join(room("order"));
    const sent = await Promise.all(Array.from({ length: 20 }, (_, number) => alice.send(room("order"), { number })));
    assert.deepEqual(sent.map(({ seq }) => seq), sent.map((_, at) => sent[0].seq + at));
    const bytes = Uint8Array.from({ length: 70_000 }, (_, at) => at & 255);
    const named = await alice.send(room("order"), { file: bytes, name: "noise" }, { id: "of-our-own" });
    assert.equal(named.id, "of-our-own");
    await until(() => heard.length === 21, () => `${heard.length} of 21`);
    assert.deepEqual(heard.slice(0, 20).map(({ body }) => body.number), sent.map((_, at) => at));
    assert.deepEqual(heard.map(({ seq }) => seq), [...sent, named].map(({ seq }) => seq));
    assert.ok(heard[20].body.file instanceof Uint8Array);
    assert.deepEqual(Buffer.from(heard[20].body.file), Buffer.from(bytes));
    const again = await alice.send(room("order"), { other: true }, { id: "of-our-own" });
    assert.deepEqual([again.duplicate, again.seq], [true, named.seq]);
  },

  async "what is said while we are away comes exactly once, and what we say is stored once"() {
    const way = await Way.to(server);
    const [away, there] = [enter("away", { way }), enter("there")];
    const [ours, theirs] = [gather(away, "message"), gather(there, "message")];
    const rejoined = gather(away, "rejoined");
    const rooms = [room("cut-a"), room("cut-b")];
    for (const client of [away, there]) for (const room of rooms) await client.join(room);
    const sending = [];
    for (let round = 0; round < 4; round++) {
      const say = (client, part) => rooms.forEach((room) => sending.push(client.send(room, { from: round, part })));
      for (let part = 0; part < 5; part++) say(there, part), say(away, part);
      way.cut();
      await until(() => away.status === "offline" || away.status === "connecting", () => away.status);
      for (let part = 5; part < 10; part++) say(there, part), say(away, part);
      assert.ok(away.waiting > 0);
      await sleep(200);
      const known = rejoined.length;
      way.mend();
      away.retryNow();
      await until(() => away.status === "online", () => away.status);
      // Every other time it is cut again before its rooms are surely joined anew.
      const isBack = (room) => rejoined.slice(known).some((joined) => joined.room === room);
      if (options.link === "plain" && round % 2 === 1) await until(() => rooms.every(isBack), () => JSON.stringify(rejoined));
    }
    const sent = await Promise.all(sending);
    assert.equal(away.waiting, 0);
    const all = sent.length;
    await until(() => ours.length >= all && theirs.length >= all, () => `${ours.length} and ${theirs.length} of ${all}`);
    await sleep(200);
    for (const heard of [ours, theirs]) {
      assert.equal(heard.length, all);
      for (const room of rooms) {
        const seqs = heard.filter((message) => message.room === room).map(({ seq }) => seq);
        assert.deepEqual(seqs, seqs.map((_, at) => seqs[0] + at), "in order, without a gap");
        for (const from of ["away", "there"]) {
          const bodies = heard.filter((message) => message.room === room && message.from === from).map(({ body }) => body.from * 10 + body.part);
          assert.deepEqual(bodies, Array.from({ length: 40 }, (_, at) => at), "as it was said");
        }
      }
    }
    assert.ok(rejoined.length <= 8, JSON.stringify(rejoined));
    assert.ok(rejoined.every(({ complete }) => complete));
    way.close();
  },

  async "positions go on where the program was before"() {
    const before = enter("reader");
    await before.join(room("since"));
    const writer = enter("writer");
    await writer.join(room("since"));
    await writer.send(room("since"), "one");
    await until(() => before.positions[room("since")]?.split(":")[1] > 0, () => JSON.stringify(before.positions));
    const { positions } = before;
    before.close();
    await writer.send(room("since"), "two");
    const third = await writer.send(room("since"), "three");
    const after = enter("reader");
    const joined = await after.join(room("since"), { since: positions[room("since")] });
    assert.equal(joined.recovered, true);
    assert.deepEqual(joined.messages.map(({ body }) => body), ["two", "three"]);
    const page = await after.history(room("since"), { before: third.seq, limit: 1 });
    assert.deepEqual([page.messages.map(({ body }) => body), page.more], [["two"], true]);
    await assert.rejects(after.join(room("since"), { since: "nonsense" }), TypeError);
  },

  async "whoever asks for a room again before the answer is answered as often"() {
    const writer = enter("writer");
    await writer.join(room("twice"));
    await writer.send(room("twice"), "before");
    const client = enter("eager");
    const joins = [client.join(room("twice")), client.join(room("twice"), { history: 5 }), client.join(room("twice"), { history: 5 })];
    const answers = await Promise.race([Promise.all(joins), sleep(10_000, [], { ref: false })]);
    assert.deepEqual(answers.map(({ messages }) => messages.map(({ body }) => body)), [["before"], ["before"], ["before"]]);
    const left = ["once", "more"].map(() => client.join(room("left")));
    const ended = Promise.allSettled(left);
    await client.leave(room("left"));
    assert.deepEqual((await Promise.race([ended, sleep(10_000, [], { ref: false })])).map(({ status }) => status), ["rejected", "rejected"]);
  },

  async "who is there, who types, who has read"() {
    const [ann, ben] = [enter("ann"), enter("ben")];
    const [seen, typed, marks] = ["presence", "typing", "receipt"].map((name) => gather(ann, name));
    await ann.join(room("people"), { presence: true });
    const { members } = await ben.join(room("people"), { presence: true });
    assert.ok(members.some(({ user }) => user === "ann"));
    await until(() => seen.some(({ joined }) => joined.some(({ user }) => user === "ben")), () => JSON.stringify(seen));
    await ben.presence({ status: "busy", activity: { in: "a call" } });
    await until(() => seen.some(({ changed }) => changed.some(({ status }) => status === "busy")), () => JSON.stringify(seen));
    await ben.typing(room("people"));
    await until(() => typed.some(({ users }) => users.includes("ben")), () => JSON.stringify(typed));
    const { seq } = await ann.send(room("people"), "hello");
    await ben.read(room("people"), seq);
    await until(() => marks.some((receipt) => receipt.marks.some(({ user, read }) => user === "ben" && read === seq)), () => JSON.stringify(marks));
    const listed = await ben.members(room("people"));
    assert.equal(listed.count, 2);
    await ben.leave(room("people"));
    await until(() => seen.some(({ left }) => left.includes("ben")), () => JSON.stringify(seen));
  },

  async "a token that is refused ends it, with the reason"() {
    const client = enter("mallory", { token: () => sign({ sub: "mallory" }, { secret: "another secret, as long as it must be." }) });
    const errors = gather(client, "error");
    const refused = assert.rejects(client.join(room("never")), TurnpikeError);
    await until(() => client.status === "refused", () => client.status);
    await refused;
    assert.equal(errors[0].reason, "unauthorized");
    await assert.rejects(client.send(room("never"), 1), TurnpikeError);
    const limited = enter("eve", { token: () => tokenOf("eve", { rooms: [{ match: room("open"), can: ["join"] }] }) });
    await assert.rejects(limited.join(room("closed")), (error) => error.reason === "forbidden" && !error.retryable);
    assert.equal((await limited.join(room("open"))).room, room("open"));
  },

  async "what waits is bounded, and ends with the client"() {
    const way = await Way.to(server);
    way.cut();
    const client = enter("patient", { way, queueMax: 3 });
    const waiting = [1, 2, 3].map((number) => client.send(room("queue"), number));
    await assert.rejects(client.send(room("queue"), 4), (error) => error.reason === "limit_reached");
    const ended = Promise.allSettled(waiting);
    client.close();
    assert.deepEqual((await ended).map(({ status }) => status), ["rejected", "rejected", "rejected"]);
    assert.equal(client.status, "closed");
    way.close();
  },

  async "a token that ends is renewed without a break"() {
    let asked = 0;
    const client = enter("brief", { token: () => (asked++, tokenOf("brief", { exp: seconds() + (asked === 1 ? 62 : 600) })) });
    const statuses = gather(client, "status");
    await client.join(room("brief"));
    await until(() => asked >= 2, () => `asked ${asked} times`);
    await client.send(room("brief"), "still here");
    assert.ok(!statuses.includes("offline"), statuses.join());
  },

  async "a listener that throws keeps nothing from the others"() {
    const client = enter("thrower");
    const thrown = new Promise((resolve) => process.once("uncaughtException", resolve));
    client.on("message", () => {
      throw new Error("a fault of the program's");
    });
    const heard = gather(client, "message");
    await client.join(room("throw"));
    await client.send(room("throw"), 1);
    await until(() => heard.length === 1, () => heard.length);
    assert.match((await thrown).message, /a fault of the program's/);
  },
};

for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    process.stdout.write(`${JSON.stringify({ case: name })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ case: name, fault: String(error.stack ?? error) })}\n`);
  }
  for (const client of clients.splice(0)) client.close();
}
// Nothing that a closed client left behind keeps the program alive.
const stuck = setTimeout(() => {
  process.stdout.write(`${JSON.stringify({ case: "the end", fault: `still there: ${process.getActiveResourcesInfo()}` })}\n`);
  process.exit(1);
}, 5_000);
stuck.unref();
