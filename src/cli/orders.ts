import { RelistenError } from '../errors.ts';
import type { Supervisor } from '../supervise/supervisor.ts';
import type { EventTalk } from './event-talk.ts';

/** What signals, keys and watched files make a supervisor do; each is told of with its cause. */
export class Orders {
  readonly #supervisor: Supervisor;
  readonly #talk: EventTalk;
  #stopping = false;

  constructor(supervisor: Supervisor, talk: EventTalk) {
    this.#supervisor = supervisor;
    this.#talk = talk;
  }

  /** Drains and ends; asked again, ends at once. */
  stop(cause: string): void {
    this.#talk.say({ type: 'notice', text: this.#stopping ? `${cause} again: ending at once` : `${cause}: stopping` });
    this.#stopping = true;
    void this.#supervisor.stop();
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
