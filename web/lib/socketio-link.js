// A connection over the official `socket.io-client`: it reconnects, recovers and times out by itself; we give it our face.

import { uniform } from "./binary.js";
import { TurnpikeError, lost, tooLarge } from "./error.js";

/** What the official client makes of its own connection. Everything else is an event of the server's. */
const FINAL_REASONS = new Set(["io client disconnect"]);
const TOKEN_EXPIRED = 3501;
const MESSAGE_TOO_BIG = 1009;
/** A session that ended as soon with its token had the same token as the one before. */
const SAME_TOKEN_MS = 5_000;

export class SocketIoLink {
  #socket;
  #answerWithinMs;
  #renews;
  #owner = null;
  #online = false;
  #closed = false;
  #closing = null;
  #back = 0;
  #beganAt = 0;
  #hasEnded = false;
  #asked = new Set(); // requests without an answer: { size, isTooLarge }
  #stop = [];

  /** `renews`: asked once more, the socket's `auth` may give another token. */
  constructor(socket, { answerWithinMs, renews }) {
    this.#socket = socket;
    this.#answerWithinMs = answerWithinMs;
    this.#renews = renews;
  }

  get online() {
    return this.#online;
  }

  start(owner) {
    this.#owner = owner;
    const socket = this.#socket;
    const listen = (target, name, listener) => {
      target.on(name, listener);
      this.#stop.push(() => target.off(name, listener));
    };
    const every = (name, data) => this.#event(name, uniform(data));
    socket.onAny(every);
    this.#stop.push(() => socket.offAny(every));
    listen(socket, "disconnect", (reason, details) => this.#lost(reason, details));
    listen(socket, "connect_error", (error) => this.#refused(error));
    const watchChange = () => this.#watchChange(socket.io.engine);
    if (socket.io.engine) watchChange();
    listen(socket.io, "open", watchChange);
    listen(socket.io, "reconnect_attempt", () => this.#closed || this.#owner.status("connecting", {}));
    owner.status("connecting", {});
    if (socket.disconnected) socket.connect();
  }

  // A change to a websocket that fails when the polls were stopped for it: the official client would neither poll nor write until it
  // misses a heartbeat, and `close` would wait for the end of the change.
  #watchChange(engine) {
    engine.on("upgradeError", () => {
      if (!engine.upgrading || this.#closed) return;
      engine.upgrading = false;
      engine.writeBuffer = [];
      engine.close();
    });
  }

  async request(event, data, withinMs = this.#answerWithinMs) {
    if (!this.#online) throw lost();
    const asked = { size: sizeOf(data), isTooLarge: false };
    let answer;
    this.#asked.add(asked);
    try {
      answer = await this.#answered(event, data, withinMs);
    } catch (error) {
      // What cannot be written never can.
      if (error instanceof TypeError) throw error;
      throw asked.isTooLarge ? tooLarge() : lost(this.#online ? "no answer came" : undefined);
    } finally {
      this.#asked.delete(asked);
    }
    const { ok, error, ...rest } = uniform(answer);
    if (!ok) throw new TurnpikeError(error ?? {});
    return rest;
  }

  retryNow() {
    if (!this.#closed && !this.#socket.connected) this.#socket.connect();
  }

  interrupt(pauseMs) {
    this.#socket.io.engine?.close();
    if (pauseMs > 0) {
      this.#socket.io.reconnection(false);
      setTimeout(() => {
        this.#socket.io.reconnection(true);
        this.retryNow();
      }, pauseMs);
    }
  }

  close() {
    if (!this.#closed) this.#end("closed");
  }

  // With a callback and not a promise: what is behind an answer on the wire must be handled behind it.
  #answered(event, data, withinMs) {
    return new Promise((resolve, reject) => {
      this.#socket.timeout(withinMs).emit(event, data ?? {}, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  #event(name, data) {
    if (name === "session") {
      this.#online = true;
      this.#closing = null;
      this.#beganAt = Date.now();
      return this.#owner.session(data);
    }
    if (name === "closing") this.#closing = data;
    this.#owner.event(name, data);
  }

  #lost(reason, details) {
    const wasOnline = this.#online;
    this.#online = false;
    if (this.#closed) return;
    if (details?.context?.code === MESSAGE_TOO_BIG) this.#refuseLargest();
    const code = this.#closing?.code ?? 0;
    // A token that ended under a session: the next one may be good. Where it is not, the server refuses the connection.
    const isSame = this.#hasEnded && Date.now() - this.#beganAt < SAME_TOKEN_MS;
    const renews = this.#renews && code === TOKEN_EXPIRED && wasOnline && !isSame;
    if (renews) this.#hasEnded = true;
    if (code >= 3500 && code < 4000 && !renews) return this.#end("refused", this.#closing.reason);
    if (FINAL_REASONS.has(reason)) return this.#end("closed");
    this.#owner.status("offline", { reason: this.#closing?.reason ?? reason, retryInMs: this.#closing?.reconnect_after_ms });
    // The official client does not come back by itself when the server has closed it.
    if (reason === "io server disconnect") this.#backIn(this.#closing?.reconnect_after_ms ?? 1000);
  }

  #backIn(ms) {
    clearTimeout(this.#back);
    this.#back = setTimeout(() => this.retryNow(), ms);
  }

  // Sent again it would end the next connection as well.
  #refuseLargest() {
    const [largest] = [...this.#asked].sort((one, other) => other.size - one.size);
    if (largest) largest.isTooLarge = true;
  }

  #refused(error) {
    if (this.#closed) return;
    const refusal = error.data && new TurnpikeError({ message: error.message, ...error.data });
    this.#owner.failed(refusal ?? error);
    if (refusal && !refusal.retryable) return this.#end("refused", refusal.reason);
    this.#owner.status("offline", { reason: refusal?.reason ?? error.message });
    // A refusal of the server's ends the official client's attempts; of a connection that fails it makes more itself.
    if (refusal) this.#backIn(refusal.retryAfterMs ?? 1000);
  }

  #end(status, reason) {
    clearTimeout(this.#back);
    this.#closed = true;
    this.#online = false;
    for (const stop of this.#stop.splice(0)) stop();
    this.#socket.disconnect();
    this.#owner.status(status, { reason });
  }
}

/** Roughly, and only so far as it tells large from small. */
function sizeOf(data) {
  if (typeof data === "string") return data.length;
  if (data === null || typeof data !== "object") return 8;
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return data.byteLength;
  return Object.values(data).reduce((sum, value) => sum + sizeOf(value), 0);
}
