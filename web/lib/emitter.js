// Listeners by name. One that throws does not keep the others from hearing.

export class Emitter {
  #listeners = new Map();

  /** Calls `listener` at every `name`, until the function that it returns is called. */
  on(name, listener) {
    if (typeof listener !== "function") throw new TypeError(`the listener of ${name} is no function`);
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.off(name, listener);
  }

  off(name, listener) {
    this.#listeners.get(name)?.delete(listener);
  }

  /** The next `name`, as a promise. */
  once(name) {
    return new Promise((resolve) => {
      const stop = this.on(name, (data) => {
        stop();
        resolve(data);
      });
    });
  }

  _emit(name, ...data) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(...data);
      } catch (error) {
        // Told as the platform tells what nobody caught, and after we are done.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
