// The client library while its node leaves: by a way that leads to the other one from then on. Prints one line.

import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { connect } from "../../web/turnpike.js";
import { over } from "../../web/socketio.js";
import { seconds, token as sign } from "./lib/token.mjs";
import { Way } from "./lib/way.mjs";

const text = { type: "string" };
const { values: options } = parseArgs({ options: { leaving: text, staying: text, admin: text, secret: text, link: text } });
const rooms = [{ match: "*", can: ["join", "send", "history"] }];
const tokenOf = (user, more = {}) => sign({ sub: user, exp: seconds() + 600, rooms, ...more }, { secret: options.secret });
const at = (address) => ({ hostname: address.split(":")[0], port: Number(address.split(":")[1]) });
const ROOM = "chat:moves";
const BROKEN_MS = 30_000;

function enter(user, port) {
  const token = () => tokenOf(user);
  if (options.link === "plain") return connect({ url: `ws://127.0.0.1:${port}/ws`, token, WebSocket });
  return over(io(`http://127.0.0.1:${port}`, { autoConnect: false, forceNew: true, auth: (tell) => tell({ token: token() }) }), { token });
}

async function until(holds, what) {
  const end = Date.now() + BROKEN_MS;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`not within ${BROKEN_MS} ms: ${what()}`);
    await sleep(10);
  }
}

const way = await Way.to(at(options.leaving));
const [moved, there] = [enter("moved", way.port), enter("there", at(options.staying).port)];
try {
  const [heard, theirs, closings, statuses, sessions] = [[], [], [], [], []];
  moved.on("message", ({ seq, body }) => heard.push([seq, body]));
  there.on("message", ({ seq, body }) => theirs.push([seq, body]));
  moved.on("closing", (closing) => closings.push(closing));
  moved.on("status", (status) => statuses.push(status));
  moved.on("session", ({ node }) => sessions.push(node));
  const { seq } = await moved.join(ROOM);
  await there.join(ROOM);
  let isSaying = true;
  const say = async (client, name) => {
    let said = 0;
    while (isSaying) {
      await client.send(ROOM, `${name} ${said++}`);
      await sleep(5);
    }
    return said;
  };
  const saying = [say(moved, "moved"), say(there, "there")];
  await sleep(300);
  way.target = at(options.staying);
  const answer = await fetch(`${options.admin}/admin/v1/nodes/n1/drain`, { method: "POST", headers: { authorization: `Bearer ${tokenOf("root", { role: "admin" })}` } });
  if (answer.status !== 202) throw new Error(`${answer.status}: ${await answer.text()}`);
  await until(() => sessions.includes("n2"), () => statuses.join());
  await sleep(500);
  isSaying = false;
  const said = (await Promise.all(saying)).reduce((sum, count) => sum + count, 0);
  await until(() => heard.length >= said && theirs.length >= said, () => `${heard.length} and ${theirs.length} of ${said}`);
  await sleep(200);
  const inOrder = heard.every(([one], index) => one === seq + 1 + index);
  const distinct = new Set(heard.map(([, body]) => body)).size;
  process.stdout.write(`${JSON.stringify({ said, heard: heard.length, theirs: theirs.length, distinct, inOrder, codes: closings.map(({ code }) => code), sessions, statuses })}\n`);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ fault: String(error.stack ?? error) })}\n`);
} finally {
  moved.close();
  there.close();
  way.close();
}
