// One room's place in its order: which message is next, which were seen, and what is on its way to the server.
//
// Pure: it knows messages and positions, nothing of connections.

/** Ids of the latest messages, so that none comes twice when a room begins anew on the server. */
const SEEN_MAX = 256;
/** Live messages that wait for the answer to a join. Of more none is kept: the room is joined once more, from where it stands. */
const EARLY_MAX = 1000;

export class Room {
  constructor(name, options) {
    this.name = name;
    this.options = options;
    this.position = options.since ? parse(options.since) : null;
    /** Answered at least once: from then on the room is ours until we leave it. */
    this.joined = false;
    /** Live messages that came before the answer to the join. */
    this.early = null;
    this.overflowed = false;
    this.seen = new Set();
    /** Who waits for the room to be live again. */
    this.waiting = [];
  }

  get since() {
    return this.position ? `${this.position.epoch}:${this.position.seq}` : undefined;
  }

  /** What of an answer to a join is new to us, in order; live messages that waited come after it. */
  settle({ epoch, seq, messages }) {
    const fresh = messages.filter((message) => this.#takes(message));
    this.position = { epoch, seq };
    const early = this.overflowed ? [] : (this.early ?? []);
    this.early = null;
    return fresh.concat(early.filter((message) => this.takes(message)));
  }

  /** Whether a live message is to be given to the program. */
  takes(message) {
    if (message.volatile) return true;
    if (this.early) {
      if (this.early.length >= EARLY_MAX) this.overflowed = true;
      else this.early.push(message);
      return false;
    }
    return this.#takes(message);
  }

  /** Whether it is still to come, and not of the past. */
  isAhead({ epoch, seq }) {
    const at = this.position;
    return at !== null && epoch === at.epoch && seq > at.seq;
  }

  /** Messages up to here cannot be had any more. */
  skip({ epoch, seq }) {
    this.position = { epoch, seq };
  }

  #takes({ id, epoch, seq }) {
    const at = this.position;
    if (at && at.epoch === epoch && seq <= at.seq) return false;
    this.position = { epoch, seq };
    if (this.seen.has(id)) return false;
    this.seen.add(id);
    if (this.seen.size > SEEN_MAX) this.seen.delete(this.seen.values().next().value);
    return true;
  }
}

export function parse(since) {
  const [epoch, seq] = String(since).split(":").map(Number);
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(seq)) throw new TypeError(`not a position: ${since}`);
  return { epoch, seq };
}
