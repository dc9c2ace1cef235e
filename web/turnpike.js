// A client for Turnpike's plain websocket: requests with answers, rooms that survive a lost connection.
//
// It knows the protocol and nothing of any page. Events that it emits, by `on(name, listener)`:
//   status    "connecting" | "online" | "offline" | "refused"
//   session   who the server says we are
//   message   a message of a joined room, each once and in the room's order
//   rejoined  { room, missed, complete }: a room is live again; `missed` messages were given, `complete` if that is all
//   resync    { room, epoch, seq }: messages up to seq cannot be had any more
//   error     what failed without anybody waiting for it

const ANSWER_WITHIN_MS = 10_000;
const RETRY_FIRST_MS = 300;
const RETRY_MAX_MS = 15_000;
// From here on a close code says: not with these credentials.
const FINAL_CLOSE_CODES = 3500;

/** A refusal or a lost request, in the words of the protocol. */
export class TurnpikeError extends Error {
  constructor({ code, reason, message, retryable, retry_after_ms }) {
    super(message);
    Object.assign(this, { code, reason, retryable, retryAfterMs: retry_after_ms });
  }
}

const lost = () => new TurnpikeError({ code: 110, reason: "unavailable", message: "the connection was lost", retryable: true });

/**
 * @param {{ url?: string, token: () => string | Promise<string> }} options
 *   `token` is asked at every connect, so that it can be renewed.
 */
export function connect({ url = defaultUrl(), token }) {
  return new Client(url, token);
}

function defaultUrl() {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
}

class Client {
  #url;
  #token;
  #socket = null;
  #online = false;
  #closed = false;
  #attempts = 0;
  #timer = 0;
  #nextId = 1;
  #waiting = new Map(); // request id -> { resolve, reject, timer }
  #rooms = new Map(); // name -> { position: { epoch, seq } | null, early: [] }
  #unsent = new Map(); // message id -> { data, resolve, reject }
  #listeners = new Map();

  constructor(url, token) {
    this.#url = url;
    this.#token = token;
    this.#open();
    globalThis.addEventListener?.("online", () => this.retryNow());
    globalThis.document?.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
  }

  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.#listeners.get(name).delete(listener);
  }

  /** Joins, and joins again after every reconnect. Gives the latest messages, if asked for. */
  async join(room, { history = 0 } = {}) {
    const place = { position: null, early: [] };
    this.#rooms.set(room, place);
    try {
      return await this.#enter(room, place, { room, history });
    } catch (error) {
      if (!error.retryable) this.#rooms.delete(room);
      throw error;
    }
  }

  leave(room) {
    this.#rooms.delete(room);
    return this.request("room:leave", { room });
  }

  /** Resolves to { result_id, epoch, seq, ts } once the message is stored. Sent again after a reconnect under the same id, so it is there once. */
  send(room, body) {
    const id = newId();
    return new Promise((resolve, reject) => {
      this.#unsent.set(id, { data: { room, id, body }, resolve, reject });
      if (this.#online) this.#deliver(id);
    });
  }

  request(event, data) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.reject(lost());
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(id, null), ANSWER_WITHIN_MS);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#socket.send(JSON.stringify({ id, event, data }));
    });
  }

  /** Connects at once instead of after the pause. */
  retryNow() {
    if (this.#timer && !this.#closed) this.#open();
  }

  /** Breaks the connection as a tunnel would; it comes back by itself. */
  interrupt(pauseMs = 0) {
    this.#drop(pauseMs);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
    for (const { reject } of this.#unsent.values()) reject(lost());
    this.#unsent.clear();
  }

  async #open() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#emit("status", "connecting");
    let token;
    try {
      token = await this.#token();
    } catch {
      return this.#later();
    }
    if (this.#closed || this.#socket) return;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ id: 0, event: "connect", data: { token } }));
    socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.#socket && this.#lost(code);
  }

  #receive(frame) {
    if (frame.id !== undefined) return this.#settle(frame.id, frame);
    if (frame.event === "session") this.#begin(frame.data);
    else if (frame.event === "message") this.#message(frame.data);
    else if (frame.event === "resync") this.#resync(frame.data);
    else this.#emit(frame.event, frame.data);
  }

  async #begin(session) {
    this.#attempts = 0;
    this.#online = true;
    const socket = this.#socket;
    // The server handles requests in order, so whatever listeners send from here on comes after the joins.
    const joins = [...this.#rooms].map(([room, place]) => this.#rejoin(room, place));
    this.#emit("session", session);
    this.#emit("status", "online");
    for (const join of joins) await join.catch((error) => this.#emit("error", error));
    if (socket !== this.#socket) return;
    for (const id of [...this.#unsent.keys()]) this.#deliver(id);
  }

  async #rejoin(room, place) {
    if (!place.position) return this.#enter(room, place, { room });
    const { epoch, seq } = place.position;
    const answer = await this.#enter(room, place, { room, since: `${epoch}:${seq}`, history: 100 });
    this.#emit("rejoined", { room, missed: answer.messages.length, complete: answer.recovered });
  }

  // Live messages may arrive before we have handled the answer; they wait until what came before them has its place.
  async #enter(room, place, data) {
    place.early = [];
    const answer = await this.request("room:join", data);
    const early = place.early;
    place.early = null;
    if (place.position) for (const message of answer.messages) this.#message(message);
    place.position = { epoch: answer.epoch, seq: answer.seq };
    for (const message of early) this.#message(message);
    return answer;
  }

  #message(message) {
    const place = this.#rooms.get(message.room);
    if (!place) return;
    if (message.volatile) return this.#emit("message", message);
    if (place.early) return void place.early.push(message);
    const { epoch, seq } = place.position;
    if (message.epoch === epoch && message.seq <= seq) return;
    place.position = { epoch: message.epoch, seq: message.seq };
    this.#emit("message", message);
  }

  #resync(lost) {
    const place = this.#rooms.get(lost.room);
    if (place?.position) place.position = { epoch: lost.epoch, seq: lost.seq };
    this.#emit("resync", lost);
  }

  async #deliver(id) {
    const { data, resolve, reject } = this.#unsent.get(id);
    try {
      const answer = await this.request("message:send", data);
      if (this.#unsent.delete(id)) resolve(answer);
    } catch (error) {
      // Lost on the way: it stays, and goes again under its id as soon as we are back.
      if (error.reason === "unavailable" && !this.#online) return;
      if (error.retryable && this.#unsent.has(id)) {
        return void setTimeout(() => this.#online && this.#unsent.has(id) && this.#deliver(id), error.retryAfterMs ?? 1000);
      }
      if (this.#unsent.delete(id)) reject(error);
    }
  }

  #settle(id, frame) {
    const request = this.#waiting.get(id);
    if (!request) {
      // The answer to our token: a refusal is followed by the end of the connection.
      if (id === 0 && frame && !frame.ok) this.#emit("error", new TurnpikeError(frame.error));
      return;
    }
    this.#waiting.delete(id);
    clearTimeout(request.timer);
    if (frame?.ok) request.resolve(frame);
    else request.reject(frame ? new TurnpikeError(frame.error) : lost());
  }

  #lost(code) {
    this.#drop(null);
    // 1008: the token was refused.
    const refused = code === 1008 || (code >= FINAL_CLOSE_CODES && code < 4000);
    if (refused) this.#closed = true;
    if (this.#closed) this.#emit("status", refused ? "refused" : "offline");
    else this.#later();
  }

  #drop(pauseMs) {
    const socket = this.#socket;
    this.#socket = null;
    this.#online = false;
    socket?.close();
    for (const id of [...this.#waiting.keys()]) this.#settle(id, null);
    if (pauseMs !== null) this.#later(pauseMs);
  }

  // Twice as long each time, and anywhere between half of it and all: a thousand clients do not return at once.
  #later(pauseMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.#attempts++) * (0.5 + Math.random() / 2)) {
    if (this.#closed) return;
    this.#emit("status", "offline");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), pauseMs);
  }

  #emit(name, data) {
    for (const listener of this.#listeners.get(name) ?? []) listener(data);
  }
}

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
