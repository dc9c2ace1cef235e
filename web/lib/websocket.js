// A connection over the plain websocket: requests with answers, heartbeats, and coming back.
//
// It knows frames, tokens and pauses, and nothing of rooms. To its owner it says:
//   status(status, { retryInMs?, reason? })   "connecting" | "offline" | "refused" | "closed"
//   session(data)                             we are online: a new session begins
//   event(name, data)                         anything else from the server
//   failed(error)                             what went wrong without anybody waiting for it

import { fromText, toText } from "./binary.js";
import { TurnpikeError, lost, tooLarge } from "./error.js";

const RETRY_FIRST_MS = 300;
const RETRY_MAX_MS = 15_000;
const SESSION_WITHIN_MS = 20_000;
const TOKEN_WITHIN_MS = 20_000;
/** From here on a close code says: not with these credentials. */
const FINAL_CLOSE_CODES = 3500;
const TOKEN_EXPIRED = 3501;
const POLICY_VIOLATION = 1008;
const MESSAGE_TOO_BIG = 1009;
const CONNECT_ID = 0;

export class WebsocketLink {
  #url;
  #token;
  #device;
  #WebSocket;
  #answerWithinMs;
  #renews;
  #owner = null;
  #socket = null;
  #online = false;
  #closed = false;
  #opening = 0;
  #attempts = 0;
  #retry = 0;
  #watch = 0;
  #heard = 0;
  #hint = null;
  #refusal = null;
  #shown = null; // the token of this connection
  #ended = null; // the one that ended under a session
  #nextId = 1;
  #waiting = new Map(); // request id -> { resolve, reject, timer, size }

  /** `renews`: asked once more, `token` may give another one. */
  constructor({ url, token, renews, device, WebSocket, answerWithinMs }) {
    this.#url = url;
    this.#token = token;
    this.#renews = renews;
    this.#device = device;
    this.#WebSocket = WebSocket;
    this.#answerWithinMs = answerWithinMs;
  }

  get online() {
    return this.#online;
  }

  start(owner) {
    this.#owner = owner;
    this.#open();
  }

  request(event, data, withinMs = this.#answerWithinMs) {
    if (!this.#online) return Promise.reject(lost());
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      // What cannot be written throws here, before anything waits for an answer.
      const text = JSON.stringify({ id, event, data: toText(data) });
      const timer = setTimeout(() => this.#settle(id, null), withinMs);
      this.#waiting.set(id, { resolve, reject, timer, size: text.length });
      this.#socket.send(text);
    });
  }

  /** Connects at once instead of after the pause. */
  retryNow() {
    if (this.#retry && !this.#closed) this.#open();
  }

  /** Breaks the connection as a tunnel would; it comes back after the pause. */
  interrupt(pauseMs) {
    if (this.#closed) return;
    this.#drop();
    this.#later(pauseMs, "interrupted");
  }

  close() {
    if (this.#closed) return;
    this.#end("closed");
  }

  async #open() {
    clearTimeout(this.#retry);
    this.#retry = 0;
    const opening = ++this.#opening;
    this.#owner.status("connecting", {});
    let token;
    try {
      token = await within(this.#token(), TOKEN_WITHIN_MS);
    } catch (error) {
      if (opening !== this.#opening || this.#closed) return;
      this.#owner.failed(error);
      if (error?.retryable === false) return this.#end("refused");
      return this.#later(null, "no token");
    }
    if (opening !== this.#opening || this.#closed) return;
    // Servers let clocks differ by half a minute, and would let it in only to close it again.
    if (token === this.#ended) return this.#end("refused", "token_expired");
    this.#shown = token;
    this.#hint = null;
    this.#refusal = null;
    let socket;
    try {
      socket = new this.#WebSocket(this.#url);
    } catch (error) {
      this.#owner.failed(error);
      return this.#end("refused");
    }
    this.#socket = socket;
    const ours = (handler) => (event) => socket === this.#socket && handler(event);
    // Without a session by then, whoever answers is no server of ours, or a frozen one.
    this.#watch = setTimeout(() => this.#lost({ code: 1006 }), SESSION_WITHIN_MS);
    socket.onopen = ours(() => {
      const data = this.#device === undefined ? { token } : { token, device: this.#device };
      socket.send(JSON.stringify({ id: CONNECT_ID, event: "connect", data }));
    });
    socket.onmessage = ours(({ data }) => this.#receive(data));
    socket.onclose = ours((event) => this.#lost(event));
    // What it has to say comes with `close`.
    socket.onerror = () => {};
  }

  #receive(text) {
    this.#heard = Date.now();
    let frame;
    try {
      frame = fromText(JSON.parse(text));
    } catch {
      return this.#owner.failed(new TypeError("a frame that is no JSON"));
    }
    if (frame.id !== undefined) return this.#settle(frame.id, frame);
    if (frame.event === "session") return this.#begin(frame.data);
    if (frame.event === "closing") this.#hint = frame.data;
    this.#owner.event(frame.event, frame.data);
  }

  #begin(session) {
    this.#attempts = 0;
    this.#online = true;
    this.#watchOver(session);
    this.#owner.session(session);
  }

  // Pings of the server are answered by the platform, unseen by us. When nothing has been heard for as long as they are
  // apart, we ask; a server that is there answers.
  #watchOver({ ping_interval_ms: intervalMs = 25_000, ping_timeout_ms: timeoutMs = 20_000 }) {
    clearTimeout(this.#watch);
    const socket = this.#socket;
    const look = async () => {
      const silentMs = Date.now() - this.#heard;
      if (silentMs >= intervalMs) {
        try {
          await this.request("ping", {}, timeoutMs);
        } catch (error) {
          if (socket !== this.#socket) return;
          if (error.reason === "unavailable") return this.#lost({ code: 1006 });
        }
      }
      if (socket === this.#socket) this.#watch = setTimeout(look, Math.max(1000, intervalMs - (Date.now() - this.#heard)));
    };
    this.#watch = setTimeout(look, intervalMs);
  }

  #settle(id, frame) {
    if (id === CONNECT_ID) {
      // The answer to our token: a refusal is followed by the end of the connection.
      if (!frame.ok && frame.error) this.#refusal = new TurnpikeError(frame.error);
      return;
    }
    const request = this.#waiting.get(id);
    if (!request) return;
    this.#waiting.delete(id);
    clearTimeout(request.timer);
    if (!frame) return request.reject(lost("no answer came"));
    const { id: _, ok, error, result_id: result, ...answer } = frame;
    if (!ok) return request.reject(new TurnpikeError(error ?? {}));
    // `id` is the request's on the wire, so an answer's own comes under another name.
    request.resolve(result === undefined ? answer : { id: result, ...answer });
  }

  #lost({ code }) {
    const refusal = this.#refusal;
    if (code === MESSAGE_TOO_BIG) this.#refuseLargest();
    // A token that ended under a session: the next one may be good. Where it is not, the server refuses the connection.
    const renews = this.#renews && code === TOKEN_EXPIRED && this.#online;
    if (renews) this.#ended = this.#shown;
    this.#drop();
    if (refusal) this.#owner.failed(refusal);
    const final = refusal ? !refusal.retryable : !renews && (code === POLICY_VIOLATION || (code >= FINAL_CLOSE_CODES && code < 4000));
    if (final) return this.#end("refused", this.#hint?.reason ?? refusal?.reason);
    this.#later(refusal?.retryAfterMs ?? this.#hint?.reconnect_after_ms ?? null, this.#hint?.reason);
  }

  // Sent again it would end the next connection as well.
  #refuseLargest() {
    const [id, request] = [...this.#waiting].sort(([, one], [, other]) => other.size - one.size)[0] ?? [];
    if (!request) return;
    this.#waiting.delete(id);
    clearTimeout(request.timer);
    request.reject(tooLarge());
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#online = false;
    this.#opening++;
    clearTimeout(this.#watch);
    if (socket) {
      socket.onclose = socket.onmessage = socket.onopen = null;
      socket.close();
    }
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(lost());
    }
    this.#waiting.clear();
  }

  // As the server asked; else twice as long each time, and anywhere between half of it and all: a thousand clients do not
  // return at once.
  #later(wishedMs, reason) {
    const ownMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(this.#attempts++, 10)) * (0.5 + Math.random() / 2);
    const retryInMs = wishedMs ?? ownMs;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#open(), retryInMs);
    this.#owner.status("offline", { retryInMs, reason });
  }

  #end(status, reason) {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#retry = 0;
    const socket = this.#socket;
    if (socket) {
      this.#socket = null;
      socket.onclose = socket.onmessage = null;
      socket.close(1000);
    }
    this.#drop();
    this.#owner.status(status, { reason });
  }
}

async function within(promise, ms) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new TypeError(`no token within ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
