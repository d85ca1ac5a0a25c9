/** A deadline that can be put off. Pauses nest. */
export class Clock {
  readonly ms: number;
  #spentMs = 0;
  #goesSince: number | undefined = Date.now();
  #timer: NodeJS.Timeout | undefined;
  #pauses = 0;
  #onLate: (() => void) | undefined;

  constructor(ms: number, onLate: () => void) {
    this.ms = ms;
    this.#onLate = onLate;
    this.#timer = setTimeout(onLate, ms);
  }

  /** Without pauses. */
  get elapsedMs(): number {
    return this.#spentMs + (this.#goesSince === undefined ? 0 : Date.now() - this.#goesSince);
  }

  pause(): void {
    if (this.#pauses++ > 0) return;
    clearTimeout(this.#timer);
    this.#spentMs = this.elapsedMs;
    this.#goesSince = undefined;
  }

  resume(): void {
    if (--this.#pauses !== 0) return;
    this.#goesSince = Date.now();
    if (this.#onLate) this.#timer = setTimeout(this.#onLate, Math.max(0, this.ms - this.#spentMs));
  }

  /** There is no deadline any more; time still passes. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#onLate = undefined;
  }
}
