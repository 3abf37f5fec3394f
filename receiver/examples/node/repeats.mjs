// What was seen: by delivery, in a bounded window. In memory, so for one process; put it
// into the database that your handler writes to, and it outlives a restart.

const MAX_ENTRIES = 100_000;

export class Repeats {
  #seen = new Set();
  #running = new Set();

  // "seen", "running", or "new": then the caller has the claim.
  claim(delivery) {
    if (this.#seen.has(delivery)) return "seen";
    if (this.#running.has(delivery)) return "running";
    this.#running.add(delivery);
    return "new";
  }

  // Seen once its handler succeeded, not before.
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
