// What a program works with: rooms that survive lost connections, messages that are stored once, who is there, and media.
//
// It runs over any link (`websocket.js`, `socketio.js`): requests with answers, sessions that begin, events.

import { Emitter } from "./emitter.js";
import { closed, lost } from "./error.js";
import { Media } from "./media.js";
import { Outbox } from "./outbox.js";
import { Pauses } from "./pauses.js";
import { Room, parse } from "./room.js";

const MISSED_HISTORY = 100;
const JOIN_AGAIN_MS = 1000;
/** A token is renewed a minute before it ends: 1, 2, 4, 8 and 16 s apart, these tries take half of that. */
const RENEW_FIRST_MS = 1000;
const RENEW_TRIES = 6;

export class Client extends Emitter {
  #link;
  #token;
  #rooms = new Map();
  /** Left, and the server has not said yet that it knows: nothing of them is given any more. */
  #left = new Set();
  #pauses = new Pauses();
  #outbox;
  #media;
  #status = "connecting";
  #session = null;
  #generation = 0;

  constructor(link, { token, queueMax }) {
    super();
    this.#link = link;
    this.#token = token;
    this.#outbox = new Outbox(link, queueMax, (room) => this.#rooms.get(room)?.early != null, this.#pauses);
    this.#media = new Media(this, () => this.#refreshed());
    link.start({
      status: (status, details) => this.#changed(status, details),
      session: (session) => this.#begin(session),
      event: (name, data) => this.#event(name, data),
      failed: (error) => this._emit("error", error),
    });
  }

  /** "connecting", "online", "offline", "refused" (another token is needed) or "closed". */
  get status() {
    return this.#status;
  }

  /** What the server said of us at last, or null before it did. */
  get session() {
    return this.#session;
  }

  /** How many messages wait to be stored. */
  get waiting() {
    return this.#outbox.size;
  }

  /** The rooms' positions, `{ room: "epoch:seq" }`: what `join` takes as `since` after the page was loaded anew. */
  get positions() {
    return Object.fromEntries([...this.#rooms.values()].filter((room) => room.since).map((room) => [room.name, room.since]));
  }

  /**
   * Joins, and joins again after every reconnect. Resolves when the room is joined for the first time, with its latest
   * messages (`history`), or with all since a position (`since`, `recovered: true`). Asked again before that, the answer to the
   * latest is the answer to all. Of a room that is joined already the past is given once more, as far as it was given; what is
   * newer comes as `message`, as all that comes meanwhile.
   */
  async join(name, { history = 0, presence = false, since } = {}) {
    if (this.#isOver) throw closed();
    const before = this.#rooms.get(name);
    if (before?.joined) return this.#joinAgain(before, { history, presence, since });
    const room = new Room(name, { history, presence, since });
    this.#left.delete(name);
    this.#rooms.set(name, room);
    return new Promise((resolve, reject) => {
      room.askers = [...(before?.askers ?? []), { resolve, reject }];
      if (this.#link.online) this.#enter(room);
    });
  }

  /** From now on nothing of the room is given. The server is told; where it cannot be, as soon as we are back. */
  async leave(name) {
    const room = this.#rooms.get(name);
    if (room) this.#forget(room, closed());
    if (this.#isOver) return;
    this.#left.add(name);
    await this.#tellLeft(name);
  }

  /**
   * Resolves to `{ id, epoch, seq, ts, duplicate? }` once the message is stored. Sent again after a lost connection under
   * the same id, so it is there once, and behind what was sent to the room before it. `volatile`: not stored and not kept; it
   * reaches who is there, if we are.
   */
  async send(name, body, { id = newId(), volatile = false } = {}) {
    if (this.#isOver) throw closed();
    if (volatile) return this.request("message:send", { room: name, body, volatile });
    return this.#outbox.send(name, body, id);
  }

  /** Older messages: `{ messages, more, epoch }`, before or after a sequence number. */
  history(name, { before, after, limit } = {}) {
    return this.request("message:history", { room: name, before, after, limit });
  }

  /** Everything up to here has arrived. */
  received(name, seq) {
    return this.request("message:received", { room: name, seq });
  }

  /** Everything up to here has been read. */
  read(name, seq) {
    return this.request("message:read", { room: name, seq });
  }

  /** Call it while the user types: it holds for six seconds. */
  typing(name, isTyping = true) {
    return this.request(isTyping ? "typing:start" : "typing:stop", { room: name });
  }

  /** `{ status: "online" | "away" | "busy" | "invisible", activity?, device? }` */
  presence(update) {
    return this.request("presence:update", update);
  }

  /** Who is in a room: `{ count, members, cursor? }`. */
  members(name, { limit, cursor } = {}) {
    return this.request("presence:list", { room: name, limit, cursor });
  }

  /** Sends `media`'s tracks to a stream. Resolves to a publication. */
  publish(stream, media, options) {
    return this.#media.publish(stream, media, options);
  }

  /** Watches a stream. Resolves to a subscription. */
  subscribe(stream, options) {
    return this.#media.subscribe(stream, options);
  }

  /** Starts or stops the recording of a stream at its relay. */
  record(stream, on = true) {
    return this.request("media:record", { stream, on });
  }

  /** Any event of the protocol; resolves to its answer, rejects with a TurnpikeError. Once, and not kept. */
  request(event, data) {
    return this.#link.request(event, data);
  }

  /** Asks for a token and gives it to the server. Done by itself before the token ends. */
  async refresh() {
    return this.request("auth:refresh", { token: await this.#token() });
  }

  /** Connects at once instead of after the pause. */
  retryNow() {
    this.#link.retryNow();
  }

  /** Breaks the connection as a tunnel would; it comes back by itself. For trying out what a program does then. */
  interrupt(pauseMs = 0) {
    this.#link.interrupt(pauseMs);
  }

  close() {
    this.#media.close();
    this.#link.close();
  }

  get #isOver() {
    return this.#status === "refused" || this.#status === "closed";
  }

  #changed(status, details) {
    this.#status = status;
    if (this.#isOver) {
      this.#outbox.close();
      this.#pauses.end();
      for (const room of [...this.#rooms.values()]) {
        if (room.joined) this.#wake(room);
        else this.#forget(room, closed());
      }
    }
    this._emit("status", status, details);
  }

  #begin(session) {
    this.#session = session;
    this.#status = "online";
    this.#generation++;
    if (!session.recovered) this.#left.clear();
    for (const name of this.#left) this.#tellLeft(name).catch((error) => this._emit("error", error));
    // Requests are handled in order, so whatever listeners send from here on comes after the joins.
    for (const room of this.#rooms.values()) {
      // A session that was recovered has its rooms, and gives what they missed by itself. One whose join was under way when the
      // connection was lost waits for an answer that does not come.
      if (session.recovered && room.joined && !room.early) this.#wake(room);
      else this.#enter(room);
    }
    this._emit("status", "online", {});
    this._emit("session", session);
    this.#media.resume();
    this.#outbox.flushAll();
  }

  async #enter(room) {
    const generation = this.#generation;
    const { history, presence } = room.options;
    const wanted = { room: room.name, history: room.joined ? MISSED_HISTORY : history, presence: presence || undefined, since: room.since };
    room.early = [];
    room.overflowed = false;
    for (;;) {
      try {
        const answer = await this.request("room:join", wanted);
        if (this.#rooms.get(room.name) === room && generation === this.#generation) this.#entered(room, answer);
        return;
      } catch (error) {
        // The next session joins it again.
        if (generation !== this.#generation || !this.#link.online) return;
        if (this.#rooms.get(room.name) !== room) return;
        if (error.reason === "forbidden" && wanted.history > 0 && room.joined) {
          wanted.history = 0; // the room may be joined, its history not be read
          continue;
        }
        if (!error.retryable) return this.#forget(room, error);
        await this.#pauses.wait(error.retryAfterMs ?? JOIN_AGAIN_MS);
        if (generation !== this.#generation || this.#rooms.get(room.name) !== room) return;
      }
    }
  }

  #entered(room, answer) {
    const first = !room.joined;
    room.joined = true;
    const fresh = room.settle(answer);
    if (first) {
      const own = new Set(answer.messages);
      const joined = { ...answer, messages: fresh.filter((message) => own.has(message)) };
      for (const { resolve } of room.askers.splice(0)) resolve(joined);
      // What came live meanwhile follows, as soon as the program has the answer.
      queueMicrotask(() => fresh.filter((message) => !own.has(message)).forEach((message) => this._emit("message", message)));
    } else {
      const { members, count, recovered } = answer;
      if (!recovered) this._emit("gap", { room: room.name });
      for (const message of fresh) this._emit("message", message);
      this._emit("rejoined", { room: room.name, missed: fresh.length, complete: recovered, members, count });
    }
    if (room.overflowed) this.#enter(room);
    this.#wake(room);
    this.#outbox.flush(room.name);
  }

  // It stays ours meanwhile: what comes is given as ever, and the answer moves nothing.
  async #joinAgain(room, { history, presence, since }) {
    if (since !== undefined) parse(since);
    room.options = { history, presence };
    const join = (past) => this.request("room:join", { room: room.name, presence: presence || undefined, ...past });
    while (this.#rooms.get(room.name) === room && !this.#isOver) {
      if (!this.#link.online || room.early) {
        await new Promise((wake) => room.waiting.push(wake));
        continue;
      }
      try {
        // A backend may have taken us out without our knowing: from where we stand nothing is missed even then.
        const now = await join({ since: room.since });
        if (now.recovered) for (const message of now.messages) if (room.takes(message)) this._emit("message", message);
        if (history === 0 && since === undefined) return { ...now, recovered: false, messages: [] };
        const answer = await join({ history, since });
        return { ...answer, messages: answer.messages.filter((message) => !room.isAhead(message)) };
      } catch (error) {
        if (!error.retryable) throw error;
        if (this.#link.online) await this.#pauses.wait(error.retryAfterMs ?? JOIN_AGAIN_MS);
      }
    }
    throw closed();
  }

  #wake(room) {
    for (const wake of room.waiting.splice(0)) wake();
  }

  async #tellLeft(name) {
    if (!this.#link.online) return;
    try {
      await this.request("room:leave", { room: name });
    } catch (error) {
      // Nobody has heard it, or nobody could do it: still nothing of the room is given.
      if (error.retryable && !this.#link.online) return;
      if (!error.retryable) this.#left.delete(name);
      throw error;
    }
    this.#left.delete(name);
  }

  #forget(room, error) {
    this.#rooms.delete(room.name);
    room.early = null;
    this.#wake(room);
    if (room.joined) this._emit("left", { room: room.name, error });
    else for (const { reject } of room.askers.splice(0)) reject(error);
    this.#outbox.flush(room.name);
  }

  #event(name, data) {
    if (name === "message") {
      const room = this.#rooms.get(data.room);
      // Rooms that we did not ask for: our own, and those that a backend put us into.
      if (room ? room.takes(data) : !this.#left.has(data.room)) this._emit("message", data);
    } else if (name === "resync") {
      this.#rooms.get(data.room)?.skip(data);
      this._emit("resync", data);
    } else {
      if (name === "expiring") this.#renew();
      this._emit(name, data);
    }
  }

  // Whoever gives tokens may fail for a moment; there is time to ask again.
  async #renew() {
    const generation = this.#generation;
    for (let tries = 1; ; tries++) {
      try {
        await this.refresh();
        return;
      } catch (error) {
        // Another connection brings another token.
        if (generation !== this.#generation || !this.#link.online) return;
        this._emit("error", error);
        if (error.retryable === false || tries === RENEW_TRIES) return;
      }
      await this.#pauses.wait(RENEW_FIRST_MS * 2 ** (tries - 1));
      if (generation !== this.#generation || !this.#link.online) return;
    }
  }

  async #refreshed() {
    if (!this.#link.online) throw lost();
    const { ice_servers: servers } = await this.refresh();
    if (this.#session) this.#session.ice_servers = servers;
    return servers ?? [];
  }
}

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
