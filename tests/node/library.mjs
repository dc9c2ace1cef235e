// The client library in Node, over both of its links, through a way that can be cut. Each case prints one line; one that
// fails says why.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { connect, TurnpikeError } from "../../web/turnpike.js";
import { over } from "../../web/socketio.js";
import { token as sign, seconds } from "./lib/token.mjs";
import { Way } from "./lib/way.mjs";

const text = { type: "string" };
const { values: options } = parseArgs({ options: { url: text, secret: text, link: text } });
const server = new URL(options.url);
// Rooms of this run alone.
const room = (name) => `lib:${name}:${run}`;
const run = randomBytes(4).toString("hex");
const everything = ["join", "send", "history", "presence", "typing"];
const tokenOf = (user, claims = {}) =>
  sign({ sub: user, rooms: [{ match: "*", can: everything }], ...claims }, { secret: options.secret });

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

/** Of a room: that everything came once and in order. */
function exact(heard, name, first, last) {
  const seqs = heard.filter((message) => message.room === name).map(({ seq }) => seq);
  assert.deepEqual(seqs, Array.from({ length: last - first + 1 }, (_, at) => first + at));
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

  async "a change to a websocket that is cut leaves nobody deaf"() {
    const way = await Way.to(server);
    const [reader, writer] = [enter("reader", { way }), enter("writer")];
    const heard = gather(reader, "message");
    await reader.join(room("change"));
    await writer.join(room("change"));
    const changes = options.link === "socketio";
    way.cut();
    await until(() => reader.status !== "online", () => reader.status);
    const cut = changes ? way.cutNextUpgrade(() => reader.status === "online") : null;
    way.mend();
    reader.retryNow();
    await until(() => reader.status === "online", () => reader.status);
    await cut;
    const sending = [reader.send(room("change"), "of its own"), writer.send(room("change"), "of another")];
    // Much sooner than by a heartbeat.
    await until(() => heard.length === 2, () => `${reader.status}, ${heard.length} of 2`, 10_000);
    await Promise.all(sending);
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
    await assert.rejects(after.join(room("unknown"), { since: "nonsense" }), TypeError);
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

  async "a message between two joins of one room comes exactly once"() {
    const [ann, ben] = [enter("ann"), enter("ben")];
    const heard = gather(ben, "message");
    const name = room("between");
    const { seq } = await ben.join(name);
    await ann.join(name);
    const [sending, joining] = [[], []];
    for (let round = 0; round < 50; round++) {
      for (let part = 0; part < 4; part++) sending.push(ann.send(name, { round, part }));
      // Nothing of the past; some of it; all since a position.
      const past = [{}, { history: 0 }, { history: 5 }, { since: `${(await sending[0]).epoch}:${seq}` }][round % 4];
      const asked = ben.join(name, past).then((answer) => ({ answer, past, last: heard.at(-1)?.seq ?? seq }));
      joining.push(asked);
      await sleep(2);
    }
    const sent = await Promise.all(sending);
    const joined = await Promise.all(joining);
    await until(() => heard.length >= sent.length, () => `${heard.length} of ${sent.length}`);
    await sleep(100);
    exact(heard, name, seq + 1, sent.at(-1).seq);
    for (const { answer, past, last } of joined) {
      const seqs = answer.messages.map((message) => message.seq);
      assert.ok(seqs.every((one) => one <= last), `what is newer than ${last} comes as an event: ${seqs}`);
      assert.deepEqual(seqs, seqs.map((_, at) => seqs[0] + at));
      if (past.since) assert.deepEqual([answer.recovered, seqs[0] ?? seq + 1], [true, seq + 1]);
      else assert.ok(seqs.length <= (past.history ?? 0), seqs.join());
    }
    await assert.rejects(ben.join(name, { since: "nonsense" }), TypeError);
  },

  async "who joins, leaves and joins at once is in, and hears nothing in between"() {
    const [ann, ben] = [enter("ann"), enter("ben")];
    const name = room("quick");
    const heard = gather(ben, "message");
    let isOut = false;
    ben.on("left", () => (isOut = true));
    const late = [];
    ben.on("message", (message) => message.room === name && isOut && late.push(message));
    await ann.join(name);
    await ann.send(name, "before");
    const tries = [ben.join(name), ben.leave(name), ben.join(name), ben.leave(name), ben.join(name, { history: 10 })];
    const ended = await Promise.allSettled(tries);
    assert.deepEqual(ended.map(({ status }) => status), ["rejected", "fulfilled", "rejected", "fulfilled", "fulfilled"]);
    assert.deepEqual(ended[4].value.messages.map(({ body }) => body), ["before"]);
    isOut = false;
    const first = ended[4].value.seq + 1;
    const sent = await Promise.all(Array.from({ length: 10 }, (_, number) => ann.send(name, number)));
    await until(() => heard.length >= 10, () => heard.length);
    exact(heard, name, first, sent.at(-1).seq);
    // Messages that are on their way while we leave are nobody's.
    const more = Array.from({ length: 50 }, (_, number) => ann.send(name, number));
    await sleep(3);
    await ben.leave(name);
    await Promise.all(more);
    await sleep(50);
    const known = heard.length;
    await ann.send(name, "without us");
    await sleep(100);
    assert.equal(heard.length, known);
    assert.deepEqual(late, [], "left, and given a message");
  },

  async "a connection that is lost in the middle of a join, and again and again"() {
    const way = await Way.to(server);
    const [ann, ben] = [enter("ann"), enter("ben", { way })];
    const heard = gather(ben, "message");
    const name = room("middle");
    await ann.join(name);
    if (ben.status !== "online") await ben.once("session");
    const joining = ben.join(name);
    way.cut();
    let isSaying = true;
    let last = 0;
    const saying = (async () => {
      while (isSaying) last = (await ann.send(name, "on and on")).seq;
    })();
    await sleep(100);
    way.mend();
    ben.retryNow();
    const { seq } = await joining;
    for (let round = 0; round < 10; round++) {
      // Sometimes before anything is joined again, sometimes in the middle of it, sometimes behind it.
      if (ben.status !== "online") await ben.once("session");
      if (round % 3 > 0) await sleep(round);
      way.cut();
      await until(() => ben.status !== "online", () => ben.status);
      way.mend();
      ben.retryNow();
    }
    isSaying = false;
    await saying;
    await until(() => heard.at(-1)?.seq >= last, () => `${heard.at(-1)?.seq} of ${last}`);
    exact(heard, name, seq + 1, last);
    await ben.send(name, "and I");
    way.close();
  },

  async "a room that is left without a connection stays left"() {
    const way = await Way.to(server);
    const [ann, ben] = [enter("ann"), enter("ben", { way })];
    const heard = gather(ben, "message");
    const [left, kept] = [room("left-away"), room("kept-away")];
    for (const client of [ann, ben]) for (const name of [left, kept]) await client.join(name);
    way.cut();
    await until(() => ben.status !== "online", () => ben.status);
    await ben.leave(left);
    way.mend();
    ben.retryNow();
    await until(() => ben.status === "online", () => ben.status);
    await ann.send(left, "nobody's");
    await ann.send(kept, "everybody's");
    await until(() => heard.length > 0, () => heard.length);
    await sleep(100);
    await ann.send(left, "nobody's either");
    await sleep(100);
    assert.deepEqual(heard.map(({ body }) => body), ["everybody's"]);
    assert.equal((await ben.join(left, { history: 10 })).messages.length, 2);
    way.close();
  },

  async "one id is one message: sent twice while nobody is there, and in two rooms"() {
    const way = await Way.to(server);
    const client = enter("twice", { way });
    const heard = gather(client, "message");
    const [one, other] = [room("id-one"), room("id-other")];
    await client.join(one);
    await client.join(other);
    way.cut();
    await until(() => client.status !== "online", () => client.status);
    const sending = [client.send(one, 1, { id: "the-same" }), client.send(one, 2, { id: "the-same" }), client.send(other, 3, { id: "the-same" })];
    way.mend();
    client.retryNow();
    const [first, second, elsewhere] = await Promise.all(sending);
    assert.deepEqual([first.seq, second.duplicate, elsewhere.duplicate ?? false], [second.seq, true, false]);
    await until(() => heard.length >= 2, () => JSON.stringify(heard));
    await sleep(100);
    assert.deepEqual(heard.map(({ room, body }) => [room, body]).sort(), [[one, 1], [other, 3]].sort());
    way.close();
  },

  async "a token that is asked for while the connection is lost harms nobody"() {
    const way = await Way.to(server);
    const client = enter("slow", { way, token: async () => (await sleep(150), tokenOf("slow")) });
    await client.join(room("slow"));
    const refreshing = client.refresh().then(() => "renewed", (error) => error.retryable);
    way.cut();
    await until(() => client.status !== "online", () => client.status);
    assert.equal(await refreshing, true);
    const meanwhile = client.refresh().then(() => "renewed", (error) => error.retryable);
    way.mend();
    client.retryNow();
    await client.send(room("slow"), "here again");
    assert.ok([true, "renewed"].includes(await meanwhile));
    assert.ok((await client.refresh()).expires_at > Date.now());
    way.close();
  },

  async "a token that ended is followed by the next one, and by nothing if there is none"() {
    let asked = 0;
    const client = enter("ending", { token: () => tokenOf("ending", { exp: seconds() + (asked++ === 0 ? 2 : 600) }) });
    const statuses = gather(client, "status");
    const heard = gather(client, "message");
    const { seq } = await client.join(room("ending"));
    const writer = enter("writer");
    await writer.join(room("ending"));
    let last = seq;
    while (!statuses.includes("offline")) last = (await writer.send(room("ending"), "tick")).seq;
    for (let more = 0; more < 5; more++) last = (await writer.send(room("ending"), "tock")).seq;
    await until(() => heard.at(-1)?.seq === last, () => `${heard.at(-1)?.seq} of ${last}: ${statuses}`);
    exact(heard, room("ending"), seq + 1, last);
    assert.ok(!statuses.includes("refused"), statuses.join());
    const ended = enter("ended", { token: (() => { const token = tokenOf("ended", { exp: seconds() + 4 }); return () => token; })() });
    await ended.join(room("ended"));
    await until(() => ended.status === "refused", () => ended.status);
  },

  async "whoever gives tokens may fail once"() {
    let asked = 0;
    const client = enter("unsure", {
      token: () => {
        if (++asked === 2) throw new Error("no tokens just now");
        return tokenOf("unsure", { exp: seconds() + (asked === 1 ? 62 : 600) });
      },
    });
    const errors = gather(client, "error");
    const statuses = gather(client, "status");
    await client.join(room("unsure"));
    await until(() => asked >= 3, () => `asked ${asked} times`);
    await client.send(room("unsure"), "still here");
    assert.match(errors[0].message, /no tokens just now/);
    assert.ok(!statuses.includes("offline"), statuses.join());
  },

  async "a thousand messages that were missed come in order"() {
    const way = await Way.to(server);
    const [reader, writer] = [enter("reader", { way }), enter("writer")];
    const [heard, rejoined] = [gather(reader, "message"), gather(reader, "rejoined")];
    const name = room("thousand");
    const { epoch, seq } = await reader.join(name);
    await writer.join(name);
    way.cut();
    await until(() => reader.status !== "online", () => reader.status);
    const sent = await Promise.all(Array.from({ length: 1000 }, (_, number) => writer.send(name, number)));
    way.mend();
    reader.retryNow();
    await until(() => heard.length >= 1000, () => heard.length);
    await sleep(100);
    exact(heard, name, seq + 1, sent.at(-1).seq);
    if (options.link === "plain") assert.deepEqual(rejoined, [{ room: name, missed: 1000, complete: true, members: undefined, count: undefined }]);
    const later = enter("reader");
    const joined = await later.join(name, { since: `${epoch}:${seq}` });
    assert.equal(joined.recovered, true);
    exact(joined.messages, name, seq + 1, sent.at(-1).seq);
    way.close();
  },

  async "a server that closes in the middle of the handshake is asked again"() {
    const way = await Way.to(server);
    way.ends = [-1, 0, 1, -1, 0, 2];
    const client = enter("stubborn", { way });
    const statuses = gather(client, "status");
    await client.join(room("stubborn"));
    await client.send(room("stubborn"), "in at last");
    assert.deepEqual(way.ends, []);
    assert.ok(!statuses.includes("refused"), statuses.join());
    way.close();
  },

  async "what is larger than the server takes is refused, and what follows is sent"() {
    const client = enter("large");
    const heard = gather(client, "message");
    const statuses = gather(client, "status");
    await client.join(room("large"));
    const sending = [client.send(room("large"), "before"), client.send(room("large"), "x".repeat(2_000_000)), client.send(room("large"), "behind")];
    const ended = await Promise.allSettled(sending);
    assert.deepEqual(ended.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
    assert.deepEqual([ended[1].reason.reason, ended[1].reason.retryable], ["too_large", false]);
    await until(() => heard.length >= 2, () => JSON.stringify(statuses));
    assert.deepEqual(heard.map(({ body }) => body), ["before", "behind"]);
    await assert.rejects(client.send(room("large"), { number: 1n }), TypeError);
    await client.send(room("large"), "and on");
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
