import { RelistenError } from '../errors.ts';
import type { Supervisor } from '../supervise/supervisor.ts';
import { formatDuration } from './duration.ts';
import type { EventTalk } from './event-talk.ts';

/** Nothing is said of a drain that takes less. */
const SAY_AFTER_MS = 1_000;

/**
 * Who signals a process and its group means one order: timeout(1) does both, npm passes on what the terminal has sent to all.
 * Nobody who sees that the first has no effect is that fast.
 */
const SAME_ORDER_MS = 250;

/** What signals, keys and watched files make a supervisor do; each is told of with its cause. */
export class Orders {
  readonly #supervisor: Supervisor;
  readonly #talk: EventTalk;
  /** How often the end was asked for. */
  #stops = 0;
  /** When it was asked for first, on the clock of performance.now(). */
  #stoppedAt = 0;

  constructor(supervisor: Supervisor, talk: EventTalk) {
    this.#supervisor = supervisor;
    this.#talk = talk;
  }

  /** Drains and ends; asked again, and not in the same moment, ends at once. */
  stop(cause: string): void {
    if (this.#stops === 0) this.#stoppedAt = performance.now();
    else if (performance.now() - this.#stoppedAt < SAME_ORDER_MS) return;
    this.#talk.say({
      type: 'notice',
      text: this.#stops++ > 0 ? `${cause} again: ending at once` : `${cause}: stopping`,
    });
    if (this.#stops === 1) this.#sayIfItTakesLong(cause);
    void this.#supervisor.stop();
  }

  /** The terminal was closed: the kernel says so, and a shell may say it once more (bash(1), SIGNALS). Nobody is in a hurry. */
  hangUp(): void {
    if (this.#stops === 0) this.stop('SIGHUP');
  }

  /** Whoever asked for the end sees nothing happen. */
  #sayIfItTakesLong(cause: string): void {
    const left = formatDuration(Math.max(0, this.#supervisor.options.drainMs - SAY_AFTER_MS));
    const say = () => {
      if (this.#stops > 1 || this.#supervisor.generations.length === 0) return;
      this.#talk.say({ type: 'notice', text: `still draining, for ${left} at most; ${cause} again ends it at once` });
    };
    setTimeout(say, SAY_AFTER_MS).unref();
  }

  restart(cause: string): void {
    if (this.#supervisor.stopping) return;
    this.#talk.say({ type: 'notice', text: `${cause}: restarting` });
    this.#supervisor.restart().catch(error => {
      if (!(error instanceof RelistenError)) throw error;
      this.#talk.say({ type: 'notice', text: error.message });
    });
  }
}
