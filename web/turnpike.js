// The client of Turnpike's plain websocket, for pages and for Node. `README.md` beside it says how to use it.

import { Client } from "./lib/client.js";
import { WebsocketLink } from "./lib/websocket.js";

export { Client } from "./lib/client.js";
export { TurnpikeError } from "./lib/error.js";

const ANSWER_WITHIN_MS = 10_000;
const QUEUE_MAX = 1000;

/**
 * Connects, and keeps connected until `close()`.
 *
 * `token` is a string, or a function that gives one (or a promise of one): it is asked at every connect and before a token ends.
 */
export function connect({
  url = defaultUrl(),
  token,
  device,
  WebSocket = globalThis.WebSocket,
  answerWithinMs = ANSWER_WITHIN_MS,
  queueMax = QUEUE_MAX,
} = {}) {
  if (token === undefined) throw new TypeError("connect needs a token, or a function that gets one");
  if (WebSocket === undefined) throw new TypeError("there is no WebSocket here: pass one, such as that of the package ws");
  const renews = typeof token === "function";
  const fetchToken = renews ? async () => token() : async () => token;
  const link = new WebsocketLink({ url: `${url}`, token: fetchToken, renews, device, WebSocket, answerWithinMs });
  const client = new Client(link, { token: fetchToken, queueMax });
  wakeWithThePage(client);
  return client;
}

function defaultUrl() {
  const { protocol, host } = globalThis.location ?? {};
  if (!host) throw new TypeError("connect needs a url, such as wss://chat.example.com/ws");
  return `${protocol === "https:" ? "wss" : "ws"}://${host}/ws`;
}

// A network that is back, or a page that is looked at again, is no time for the rest of a pause.
function wakeWithThePage(client) {
  const { document } = globalThis;
  if (!document) return;
  const leaving = new AbortController();
  const listen = (target, name, wake) => target.addEventListener(name, wake, { signal: leaving.signal });
  listen(globalThis, "online", () => client.retryNow());
  listen(document, "visibilitychange", () => document.hidden || client.retryNow());
  client.on("status", (status) => (status === "closed" || status === "refused") && leaving.abort());
}
