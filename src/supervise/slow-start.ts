/**
 * How long a generation goes on serving beside its successor: until that one has been ready for the time that it is given
 * to get warm.
 */
export class SlowStart {
  /** Resolves when the older one is to be told to end. */
  readonly over: Promise<void>;
  readonly #ms: number;
  #timer: NodeJS.Timeout | undefined;
  #end: () => void = () => undefined;

  constructor(ms: number) {
    this.#ms = ms;
    this.over = new Promise(resolve => {
      this.#end = resolve;
    });
    this.begin();
  }

  /** The successor, or another one in its place, is ready from now on. */
  begin(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#end, this.#ms);
  }

  /** There is no successor now. */
  pause(): void {
    clearTimeout(this.#timer);
  }

  /** Nobody waits for it any more. */
  end(): void {
    clearTimeout(this.#timer);
    this.#end();
  }
}
