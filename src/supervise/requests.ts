import type { RestartOutcome } from './events.ts';

type Resolve = (outcome: RestartOutcome) => void;

/**
 * Who waits for the outcome of a start. Requests that come during one are answered together by the restart that follows
 * it: that one starts after they were made, so it has what they are about.
 */
export class Requests {
  #asking: Resolve[] = [];
  #queued: Resolve[] = [];

  /** Another start has been asked for, and has not begun. */
  get areLeft(): boolean {
    return this.#asking.length > 0;
  }

  /** @param duringStart whether one is under way, which this request then follows */
  add(duringStart: boolean): Promise<RestartOutcome> {
    return new Promise(resolve => (duringStart ? this.#queued : this.#asking).push(resolve));
  }

  /** The start under way is over. */
  answer(outcome: RestartOutcome): void {
    const answered = this.#asking;
    this.#asking = this.#queued;
    this.#queued = [];
    for (const resolve of answered) resolve(outcome);
  }
}
