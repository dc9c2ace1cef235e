// A way between a client and a server that a test has in its hands.

import net from "node:net";

/** What lies between client and server, and can be cut. */
export class Way {
  #pairs = new Set();
  open = true;
  /** How many chunks of the server's the next connections get before they are closed; -1: not even one of theirs is read. */
  ends = [];

  /** `target` may be another one later on: new connections lead there. */
  static async to(target) {
    const way = new Way();
    way.target = target;
    way.server = net.createServer((client) => {
      const end = way.ends.shift();
      if (!way.open || end === -1) return client.destroy();
      const other = net.connect(way.target.port, way.target.hostname);
      const pair = [client, other];
      way.#pairs.add(pair);
      if (end === 0) client.once("data", () => client.destroy());
      let chunks = 0;
      if (end > 0) other.on("data", () => ++chunks >= end && setImmediate(() => client.destroy()));
      for (const [from, to] of [pair, [other, client]]) {
        from.pipe(to);
        from.on("error", () => {});
        from.on("close", () => (to.destroy(), way.#pairs.delete(pair)));
      }
    });
    await new Promise((done) => way.server.listen(0, "127.0.0.1", done));
    return way;
  }

  get port() {
    return this.server.address().port;
  }

  cut() {
    this.open = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  mend() {
    this.open = true;
  }

  close() {
    this.cut();
    this.server.close();
  }
}
