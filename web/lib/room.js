// One room's place in its order: which message is next, which were seen, and what is on its way to the server.
//
// Pure: it knows messages and positions, nothing of connections.

/** Ids of the latest messages, so that none comes twice when a room begins anew on the server. */
const SEEN_MAX = 256;

export class Room {
  constructor(name, options) {
    this.name = name;
    this.options = options;
    this.position = options.since ? parse(options.since) : null;
    /** Answered at least once: from then on the room is ours until we leave it. */
    this.joined = false;
    /** Live messages that came before the answer to the join. */
    this.early = null;
    this.seen = new Set();
  }

  get since() {
    return this.position ? `${this.position.epoch}:${this.position.seq}` : undefined;
  }

  /** What of an answer to a join is new to us, in order; live messages that waited come after it. */
  settle({ epoch, seq, messages }) {
    const fresh = messages.filter((message) => this.#takes(message));
    this.position = { epoch, seq };
    const early = this.early ?? [];
    this.early = null;
    return fresh.concat(early.filter((message) => this.takes(message)));
  }

  /** Whether a live message is to be given to the program. */
  takes(message) {
    if (message.volatile) return true;
    if (this.early) {
      this.early.push(message);
      return false;
    }
    return this.#takes(message);
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

function parse(since) {
  const [epoch, seq] = String(since).split(":").map(Number);
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(seq)) throw new TypeError(`not a position: ${since}`);
  return { epoch, seq };
}
