// What a client writes is written, and what it is told has to have these names in it. Others who run beside it are in this room,
// and hear what they would say themselves.
import assert from "node:assert/strict";
import WebSocket from "ws";

const socket = new WebSocket(`${process.env.GATEWAY.replace("http", "ws")}/ws`);
const told = [];
let wake = () => {};
socket.on("message", (text) => (told.push(JSON.parse(text)), wake()));
await new Promise((open) => socket.on("open", open));
const names = (line) => [...line.matchAll(/"(\w+)":/g)].map(([, name]) => name);
for (const line of process.env.BLOCK.trim().split("\n")) {
  const said = line.slice(2);
  if (line.startsWith("> ")) {
    socket.send(said.replace('"..."', JSON.stringify(process.env.TOKEN)));
    continue;
  }
  if (/"event":"message"/.test(said)) socket.send(JSON.stringify({ event: "message:send", data: { room: "chat:lobby", body: { text: "hello" } } }));
  while (told.length === 0) await new Promise((heard) => { wake = heard; });
  const heard = told.shift();
  for (const name of names(said)) assert(name in heard, `${name} in ${JSON.stringify(heard)}`);
  if (heard.event) assert(said.includes(`"event":"${heard.event}"`), JSON.stringify(heard));
}
socket.close();
