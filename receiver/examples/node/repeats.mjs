// Seen deliveries, in a bounded window. They are in memory, so for one process. Use the database
// that your handler writes to, and they survive a restart.

const MAX_ENTRIES = 100_000;

export class Repeats {
  #seen = new Set();
  #running = new Set();

  // Returns "seen", "running", or "new": then the caller has the claim.
  claim(delivery) {
    if (this.#seen.has(delivery)) return "seen";
    if (this.#running.has(delivery)) return "running";
    this.#running.add(delivery);
    return "new";
  }

  // A delivery counts as seen once its handler succeeded.
  finish(delivery) {
    this.#running.delete(delivery);
    this.#seen.add(delivery);
    // A set keeps its order: the first is the oldest.
    if (this.#seen.size > MAX_ENTRIES) this.#seen.delete(this.#seen.values().next().value);
  }

  release(delivery) {
    this.#running.delete(delivery);
  }
}
