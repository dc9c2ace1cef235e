// What is known of all nodes, and the last quarter of an hour of them together.

export const SPAN_MS = 15 * 60_000;
/** Of a past whose samples are ten seconds apart: what is older than this says nothing of a moment. */
const STALE_MS = 25_000;
const GRID_MS = 10_000;
/** Without news for so long a node is shown as silent. */
const SILENT_MS = 5_000;

class NodeFigures {
  constructor({ id, node, faults, keys, past }) {
    this.id = id;
    this.node = node;
    this.faults = faults;
    this.columns = new Map(keys.map((key, column) => [key, column]));
    this.past = past.map(([at, values]) => ({ at, values }));
  }

  get newest() {
    return this.past.at(-1);
  }

  isSilent(now) {
    return !this.newest || now - this.newest.at > SILENT_MS;
  }

  change(at, changed) {
    const values = [...(this.newest?.values ?? [])];
    for (const [column, value] of Object.entries(changed)) values[column] = value;
    // As the server does: one in ten seconds, and the newest two for rates.
    const [before, last] = this.past.slice(-3, -1);
    if (before && last && last.at - before.at < GRID_MS) this.past.splice(-2, 1);
    this.past.push({ at, values });
    while (this.past.length > 2 && at - this.past[0].at > SPAN_MS + GRID_MS) this.past.shift();
  }

  /** Of that moment: the sample before it, and the one before that. */
  pair(at) {
    const { past } = this;
    let low = 0;
    for (let high = past.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (past[middle].at <= at) low = middle + 1;
      else high = middle;
    }
    const last = past[low - 1];
    return last && at - last.at <= STALE_MS ? { columns: this.columns, last, before: past[low - 2] } : null;
  }

  /** A node by itself, or null while nothing is known. */
  cut() {
    const pair = this.newest && this.pair(this.newest.at);
    return pair ? new Cut([pair]) : null;
  }

  /** How much the totals of `prefix:...` have grown over what is kept. */
  growth(prefix) {
    const grown = new Map();
    const first = this.past[0];
    for (const [key, column] of this.columns) {
      if (key.startsWith(prefix)) grown.set(key.slice(prefix.length), (this.newest.values[column] ?? 0) - (first.values[column] ?? 0));
    }
    return grown;
  }
}

/** One moment of some nodes together. Null is what none of them has. */
export class Cut {
  #pairs;

  constructor(pairs) {
    this.#pairs = pairs;
  }

  #values(key, of) {
    const values = [];
    for (const { columns, last, before } of this.#pairs) {
      const column = columns.get(key);
      if (column === undefined) continue;
      const value = of(last, before, column);
      if (value !== null && value !== undefined) values.push(value);
    }
    return values;
  }

  sum(key) {
    const values = this.#values(key, (last, _, column) => last.values[column]);
    return values.length > 0 ? values.reduce((sum, value) => sum + value, 0) : null;
  }

  /** Of what every node knows of all, or of the worst of them. */
  max(key) {
    const values = this.#values(key, (last, _, column) => last.values[column]);
    return values.length > 0 ? Math.max(...values) : null;
  }

  min(key) {
    const values = this.#values(key, (last, _, column) => last.values[column]);
    return values.length > 0 ? Math.min(...values) : null;
  }

  /** A second. */
  rate(key) {
    const values = this.#values(key, (last, before, column) => {
      if (!before || last.values[column] === null || before.values[column] === null) return null;
      return (Math.max(0, last.values[column] - before.values[column]) * 1000) / Math.max(1, last.at - before.at);
    });
    return values.length > 0 ? values.reduce((sum, value) => sum + value, 0) : null;
  }
}

export class Figures {
  nodes = new Map();
  more = 0;
  /** Oldest first: `{ at, values }` with what `read` makes of a cut. */
  points = [];
  #read;
  /** Of our clock before the node's: all times here are by the node's, so that nothing depends on when a line came. */
  #ahead = Infinity;

  constructor(read) {
    this.#read = read;
  }

  line({ now, nodes, gone = [], more = 0 }, isFirst) {
    if (isFirst) {
      this.#ahead = Infinity;
      // What was missed meanwhile is in the past that comes now.
      this.nodes.clear();
      this.points = [];
    }
    // The line that took least says it best; a thousandth a second follows clocks that do not run alike.
    this.#ahead = Math.min(this.#ahead + 1, performance.now() - now);
    for (const id of gone) this.nodes.delete(id);
    for (const news of nodes) {
      const known = this.nodes.get(news.id);
      if (news.keys) this.nodes.set(news.id, new NodeFigures(news));
      else if (known) {
        if (news.node) known.node = news.node;
        if (news.faults) known.faults = news.faults;
        if (news.changed) known.change(news.at, news.changed);
      }
    }
    this.more = more;
    // The answers of the others come a moment after the first line.
    if (isFirst || nodes.some(({ past }) => past?.length > 1)) this.#remember();
    this.points.push({ at: now, values: this.#read(this.all(now)) });
    while (this.points.length > 0 && now - this.points[0].at > SPAN_MS) this.points.shift();
  }

  get now() {
    return performance.now() - this.#ahead;
  }

  /** As clocks on walls tell it. */
  onWall(at) {
    return Date.now() - (this.now - at);
  }

  all(at = this.now) {
    return new Cut([...this.nodes.values()].map((node) => node.pair(at)).filter(Boolean));
  }

  get list() {
    return [...this.nodes.values()].sort((one, other) => one.node.name.localeCompare(other.node.name) || one.id.localeCompare(other.id));
  }

  growth(prefix) {
    const all = new Map();
    for (const node of this.nodes.values()) {
      if (!node.newest) continue;
      for (const [name, value] of node.growth(prefix)) all.set(name, (all.get(name) ?? 0) + value);
    }
    return [...all].filter(([, value]) => value > 0).sort(([, one], [, other]) => other - one);
  }

  // The past that the nodes have kept, before the first moment that was seen here.
  #remember() {
    const seenFrom = this.points.find(({ isPast }) => !isPast)?.at ?? this.now;
    const past = [];
    for (let at = this.now - SPAN_MS; at < seenFrom - GRID_MS / 2; at += GRID_MS) {
      const pairs = [...this.nodes.values()].map((node) => node.pair(at)).filter(Boolean);
      if (pairs.length > 0) past.push({ at, values: this.#read(new Cut(pairs)), isPast: true });
    }
    this.points = [...past, ...this.points.filter(({ isPast }) => !isPast)];
  }
}
