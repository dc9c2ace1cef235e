// A connection over the official `socket.io-client`: it reconnects, recovers and times out by itself; we give it our face.

import { uniform } from "./binary.js";
import { TurnpikeError, lost } from "./error.js";

/** What the official client makes of its own connection. Everything else is an event of the server's. */
const FINAL_REASONS = new Set(["io client disconnect"]);

export class SocketIoLink {
  #socket;
  #answerWithinMs;
  #owner = null;
  #online = false;
  #closed = false;
  #closing = null;
  #stop = [];

  constructor(socket, { answerWithinMs }) {
    this.#socket = socket;
    this.#answerWithinMs = answerWithinMs;
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
    listen(socket, "disconnect", (reason) => this.#lost(reason));
    listen(socket, "connect_error", (error) => this.#refused(error));
    listen(socket.io, "reconnect_attempt", () => this.#closed || this.#owner.status("connecting", {}));
    owner.status("connecting", {});
    if (socket.disconnected) socket.connect();
  }

  async request(event, data, withinMs = this.#answerWithinMs) {
    if (!this.#online) throw lost();
    let answer;
    try {
      answer = await this.#answered(event, data, withinMs);
    } catch {
      throw lost(this.#online ? "no answer came" : undefined);
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
      this.#owner.status("online", {});
      return this.#owner.session(data);
    }
    if (name === "closing") this.#closing = data;
    this.#owner.event(name, data);
  }

  #lost(reason) {
    this.#online = false;
    if (this.#closed) return;
    const code = this.#closing?.code ?? 0;
    if (code >= 3500 && code < 4000) return this.#end("refused", this.#closing.reason);
    if (FINAL_REASONS.has(reason)) return this.#end("closed");
    this.#owner.status("offline", { reason: this.#closing?.reason ?? reason, retryInMs: this.#closing?.reconnect_after_ms });
    // The official client does not come back by itself when the server has closed it.
    if (reason === "io server disconnect") setTimeout(() => this.retryNow(), this.#closing?.reconnect_after_ms ?? 1000);
  }

  #refused(error) {
    if (this.#closed) return;
    const refusal = error.data && new TurnpikeError({ message: error.message, ...error.data });
    this.#owner.failed(refusal ?? error);
    if (refusal && !refusal.retryable) return this.#end("refused", refusal.reason);
    this.#owner.status("offline", { reason: refusal?.reason ?? error.message });
    // A refusal of the server's ends the official client's attempts; of a connection that fails it makes more itself.
    if (refusal) setTimeout(() => this.retryNow(), refusal.retryAfterMs ?? 1000);
  }

  #end(status, reason) {
    this.#closed = true;
    this.#online = false;
    for (const stop of this.#stop.splice(0)) stop();
    this.#socket.disconnect();
    this.#owner.status(status, { reason });
  }
}
