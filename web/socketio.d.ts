import type { Client, TokenSource } from "./turnpike.js";

export { TurnpikeError } from "./turnpike.js";
export type * from "./turnpike.js";

/** What of the official client's `Socket` is used. */
export interface SocketLike {
  connect(): unknown;
  disconnect(): unknown;
  readonly connected: boolean;
  readonly io: unknown;
}

export interface OverOptions {
  /** Asked before a token ends; the socket's own `auth` is asked otherwise. */
  token?: TokenSource;
  answerWithinMs?: number;
  queueMax?: number;
}

/** Takes a socket of `io(url, { autoConnect: false, auth })`, and connects it. */
export function over(socket: SocketLike, options?: OverOptions): Client;
