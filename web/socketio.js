// The same face over the official `socket.io-client`, for programs that have that.

import { Client } from "./lib/client.js";
import { SocketIoLink } from "./lib/socketio-link.js";

export { Client } from "./lib/client.js";
export { TurnpikeError } from "./lib/error.js";

const ANSWER_WITHIN_MS = 10_000;
const QUEUE_MAX = 1000;

/** Takes a socket of `io(url, { autoConnect: false, auth })`; what listens on the socket itself goes on working. */
export function over(socket, { token, answerWithinMs = ANSWER_WITHIN_MS, queueMax = QUEUE_MAX } = {}) {
  const fetchToken = typeof token === "function" ? async () => token() : async () => token ?? authToken(socket);
  // Its own `auth` is what brings another token to another connection.
  const renews = typeof socket.auth === "function";
  return new Client(new SocketIoLink(socket, { answerWithinMs, renews }), { token: fetchToken, queueMax });
}

// The one that the socket was made with.
function authToken(socket) {
  const { auth } = socket;
  if (typeof auth === "function") return new Promise((resolve) => auth(({ token }) => resolve(token)));
  return auth?.token;
}
