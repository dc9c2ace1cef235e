// Stock clients that do as they are told: a line of JSON on standard input for each thing to do, a line on standard output
// with what came of it.
//
//   {"do":"connect","name","url","token","auth"?}  {"id"} or {"error"}
//   {"do":"emit","name","event","data"}            {"answer"}
//   {"do":"got","name"}                            {"seqs": {room: [...]}, "recovered", "id"}
//   {"do":"pause","name"} / "resume"               its socket is not read any more; is read again
//   {"do":"cut","name"}                            its connection breaks, and it stays away
//   {"do":"return","name"}                         it comes back: {"recovered", "id"}
//   {"do":"leave","name"}                          it says goodbye

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const puppets = new Map();

const connected = (socket) =>
  new Promise((resolve) => {
    socket.once("connect", () => resolve({ id: socket.id, recovered: socket.recovered }));
    socket.once("connect_error", (error) => resolve({ error: error.message, data: error.data }));
  });

const acts = {
  async connect({ name, url, token, auth }) {
    const socket = io(url, {
      transports: ["websocket"],
      forceNew: true,
      perMessageDeflate: false,
      reconnectionDelay: 200,
      reconnectionDelayMax: 500,
      auth: { token, ...auth },
    });
    const puppet = { socket, seqs: {} };
    puppets.set(name, puppet);
    socket.on("message", ({ room, seq }) => (puppet.seqs[room] ??= []).push(seq));
    return connected(socket);
  },
  async emit({ name, event, data }) {
    return { answer: await puppets.get(name).socket.timeout(20_000).emitWithAck(event, data) };
  },
  async got({ name }) {
    const { socket, seqs } = puppets.get(name);
    return { seqs, recovered: socket.recovered, id: socket.id, connected: socket.connected };
  },
  async pause({ name }) {
    const { socket } = puppets.get(name);
    socket.io.engine.transport.ws._socket.pause();
    return {};
  },
  async resume({ name }) {
    const { socket } = puppets.get(name);
    socket.io.engine.transport.ws._socket.resume();
    return {};
  },
  async cut({ name }) {
    const { socket } = puppets.get(name);
    socket.io.reconnection(false);
    socket.io.engine.transport.ws._socket.destroy();
    await new Promise((resolve) => (socket.connected ? socket.once("disconnect", resolve) : resolve()));
    return {};
  },
  async return({ name }) {
    const { socket } = puppets.get(name);
    socket.io.reconnection(true);
    const back = connected(socket);
    socket.connect();
    return back;
  },
  async leave({ name }) {
    puppets.get(name).socket.disconnect();
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  let said;
  try {
    said = await acts[order.do](order);
  } catch (error) {
    said = { failed: String(error) };
  }
  console.log(JSON.stringify(said));
}
process.exit(0);
