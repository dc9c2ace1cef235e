// Messages that are to be stored: kept until the server has them, in the order of each room, each once.
//
// A message keeps its id through every attempt, so one that did arrive is recognised. Of a room one message is on its way
// at a time: a later one never overtakes one that has to be sent again.

import { TurnpikeError, LIMIT_REACHED, closed } from "./error.js";

const RETRY_MS = 1000;
const RETRY_MAX_MS = 15_000;
const NOT_IN_ROOM = 107;

export class Outbox {
  #link;
  #max;
  #rooms = new Map(); // room -> { entries: [], busy }
  #size = 0;
  /** Rooms that are being joined again: their messages wait. */
  #held;
  #pauses;

  constructor(link, max, held, pauses) {
    this.#link = link;
    this.#max = max;
    this.#held = held;
    this.#pauses = pauses;
  }

  get size() {
    return this.#size;
  }

  send(room, body, id) {
    if (this.#size >= this.#max) {
      const message = `${this.#max} messages are waiting already`;
      return Promise.reject(new TurnpikeError({ code: LIMIT_REACHED, reason: "limit_reached", message, retryable: true }));
    }
    return new Promise((resolve, reject) => {
      if (!this.#rooms.has(room)) this.#rooms.set(room, { entries: [], busy: false });
      this.#rooms.get(room).entries.push({ id, body, since: Date.now(), attempts: 0, resolve, reject });
      this.#size++;
      this.flush(room);
    });
  }

  flushAll() {
    for (const room of [...this.#rooms.keys()]) this.flush(room);
  }

  async flush(room) {
    const queue = this.#rooms.get(room);
    if (!queue || queue.busy) return;
    queue.busy = true;
    while (this.#link.online && !this.#held(room) && queue.entries.length > 0) await this.#attempt(room, queue);
    queue.busy = false;
    if (queue.entries.length === 0 && this.#rooms.get(room) === queue) this.#rooms.delete(room);
  }

  close() {
    for (const { entries } of this.#rooms.values()) for (const { reject } of entries.splice(0)) reject(closed());
    this.#rooms.clear();
    this.#size = 0;
  }

  async #attempt(room, queue) {
    const entry = queue.entries[0];
    const { id, body, since, resolve, reject } = entry;
    let error;
    try {
      const sent = await this.#link.request("message:send", { room, id, age_ms: Date.now() - since, body });
      return this.#done(queue, entry, () => resolve(sent));
    } catch (refused) {
      error = refused;
    }
    const again = error.retryable || (error.code === NOT_IN_ROOM && this.#held(room));
    if (!again) return this.#done(queue, entry, () => reject(error));
    // Lost with the connection: it stays, and goes again under its id as soon as we are back.
    if (!this.#link.online) return;
    const pauseMs = error.retryAfterMs ?? Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** entry.attempts++);
    await this.#pauses.wait(pauseMs);
  }

  #done(queue, entry, tell) {
    if (queue.entries[0] !== entry) return;
    queue.entries.shift();
    this.#size--;
    tell();
  }
}
