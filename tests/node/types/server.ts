// A program without a page, and without the types of one.

import { connect } from "../../../web/turnpike.js";
import type { Client } from "../../../web/turnpike.js";

export function listening(token: string, WebSocket: unknown, heard: (words: string) => void): Client {
  const client = connect({ url: "ws://127.0.0.1:3010/ws", token, WebSocket });
  client.on("message", ({ from, body }) => heard(`${from}: ${JSON.stringify(body)}`));
  return client;
}
