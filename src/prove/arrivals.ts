/**
 * When requests are due: the i-th somewhere within its own 1/rate of a second, at random.
 *
 * The rate is exact over any second, no two runs hit a restart at the same offsets, and nothing that the server does
 * moves an arrival: a slow server meets a queue, as in life (no coordinated omission).
 */
export class Arrivals {
  readonly #intervalMs: number;
  readonly #random: () => number;
  #index = 0;
  /** When the next one is due: milliseconds since the load started. */
  next: number;

  /** @param rate arrivals per second */
  constructor(rate: number, random: () => number = Math.random) {
    this.#intervalMs = 1000 / rate;
    this.#random = random;
    this.next = random() * this.#intervalMs;
  }

  /** Takes the next arrival off the list. */
  take(): number {
    const due = this.next;
    this.#index += 1;
    this.next = (this.#index + this.#random()) * this.#intervalMs;
    return due;
  }
}

/** What a timer of Node cannot do better: it fires up to a millisecond late by itself, and so does epoll_wait(2). */
export const TIMER_GRAIN_MS = 2;

/**
 * From when the latency of a request counts.
 *
 * | the generator took it up | counts from |
 * |---|---|
 * | within the grain of its own timer | then: the timer's grain is not the server's |
 * | later than that | when it was due: whatever held it up, a client would have waited |
 */
export function countedFrom(due: number, taken: number): number {
  return taken - due <= TIMER_GRAIN_MS ? taken : due;
}
