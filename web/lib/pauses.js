// Waits that end early, all at once, when there is nothing left to wait for: a client that was closed keeps no program alive.

export class Pauses {
  #waking = new Set();

  wait(ms) {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waking.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#waking.add(wake);
    });
  }

  end() {
    for (const wake of [...this.#waking]) wake();
  }
}
