/** What is deferred is worked off this many at a time: see {@link Agenda.defer}. */
const AT_ONCE = 32;
/** A round of more would keep everything else waiting for longer than a few milliseconds. */
const MOST_A_ROUND = 1_000;
/** All are looked at again at the earliest after this time, unless something happened. */
const SHORTEST_PAUSE_MS = 50;

/**
 * When what is looked at next. A round always runs in the check phase, right behind the event loop's poll, when all that
 * has arrived is parsed; what happens on an item brings it into the next one, and a timer brings all.
 */
export class Agenda<T> {
  readonly #round: (items: readonly T[]) => void;
  readonly #all: () => Iterable<T>;
  readonly #poked = new Set<T>();
  readonly #deferred = new Set<T>();
  #state: 'waiting' | 'going' | 'over' = 'waiting';
  #immediate: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  constructor(all: () => Iterable<T>, round: (items: readonly T[]) => void) {
    this.#all = all;
    this.#round = round;
  }

  /** Begins, with a round over all. */
  start(): void {
    this.#state = 'going';
    this.pokeAll();
  }

  stop(): void {
    this.#state = 'over';
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
  }

  /** Into the next round. */
  poke(item: T): void {
    this.#poked.add(item);
    this.#roundSoon();
  }

  pokeAll(): void {
    for (const item of this.#all()) this.#poked.add(item);
    this.#roundSoon();
  }

  /** Into one of the next rounds, in turn: where each takes a while, the last is to be acted on as freshly as the first. */
  defer(item: T): void {
    this.#deferred.add(item);
    this.#roundSoon();
  }

  forget(item: T): void {
    this.#poked.delete(item);
    this.#deferred.delete(item);
  }

  /** A round over all at this time of performance.now(), if there is none before. */
  wakeAt(at: number): void {
    if (at >= this.#timerAt || this.#state === 'over') return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    const wake = () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.pokeAll();
    };
    // Whole milliseconds: the first timer with a fraction has V8 throw away all that it has compiled for timers.
    this.#timer = setTimeout(wake, Math.ceil(Math.max(at - performance.now(), SHORTEST_PAUSE_MS)));
  }

  #roundSoon(): void {
    if (this.#state !== 'going' || this.#poked.size + this.#deferred.size === 0) return;
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      for (const item of take(this.#deferred, AT_ONCE)) this.#poked.add(item);
      this.#round(take(this.#poked, MOST_A_ROUND));
      this.#roundSoon();
    });
  }
}

/** Removes as many from the front of a set as there are, and no more than this. */
export function take<T>(from: Set<T>, most: number): T[] {
  const taken: T[] = [];
  for (const item of from) {
    if (taken.length >= most) break;
    from.delete(item);
    taken.push(item);
  }
  return taken;
}
