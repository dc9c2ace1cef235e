// A way between a client and a server that a test has in its hands.

import net from "node:net";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";

const READ_MS = 50;
/** Everybody in this process has read what came: also where it stood still, and its timers are due before it reads anything. */
async function hasRead() {
  await sleep(READ_MS);
  for (let turns = 0; turns < 3; turns++) await turn();
}

/** What lies between client and server, and can be cut. */
export class Way {
  #pairs = new Set();
  #upgrade = null;
  #held = null;
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
        from.on("data", (bytes) => (from === other ? way.#back(bytes, pair) : to.write(bytes)));
        from.on("error", () => {});
        from.on("close", async () => {
          await way.#held;
          // What was written to it still goes out.
          to.end();
          way.#pairs.delete(pair);
        });
      }
    });
    await new Promise((done) => way.server.listen(0, "127.0.0.1", done));
    return way;
  }

  get port() {
    return this.server.address().port;
  }

  /**
   * Cuts the next change to a websocket where it hurts most: behind the answer to its probe, and before the last poll is answered.
   * The official client then neither polls nor writes, and takes itself for connected. Fulfilled when that is so; the answer comes
   * through once `ready` holds.
   */
  cutNextUpgrade(ready = () => true) {
    return new Promise((done) => (this.#upgrade = { ready, done }));
  }

  async #back(bytes, [client, other]) {
    const upgrade = this.#upgrade;
    if (!upgrade || !bytes.includes("3probe")) {
      if (this.#held) await this.#held;
      return client.write(bytes);
    }
    this.#upgrade = null;
    while (!upgrade.ready()) await sleep(10);
    // From here on polls are not answered. One that was is followed by another, which is under way when this comes.
    this.#held = (async () => {
      await hasRead();
      client.write(bytes);
      await hasRead();
      client.destroy();
      other.destroy();
      await hasRead();
    })();
    await this.#held;
    this.#held = null;
    upgrade.done();
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
