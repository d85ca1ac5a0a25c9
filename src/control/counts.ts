import type { SuperviseEvent } from '../supervise/events.ts';
import type { Supervisor } from '../supervise/supervisor.ts';

/** What a supervisor has done so far, for whoever measures it later. */
export class Counts {
  /** Starts that became ready, and those that did not. */
  ready = 0;
  failed = 0;
  /** Processes killed because they had not ended in time. */
  cut = 0;
  /** How long starts took that became ready, in ms, until somebody takes them. */
  #startsMs: number[] = [];

  constructor(supervisor: Supervisor) {
    supervisor.on('event', event => this.#count(event, supervisor));
  }

  /** Those since the last call. */
  takeStarts(): number[] {
    return this.#startsMs.splice(0);
  }

  #count(event: SuperviseEvent, supervisor: Supervisor): void {
    if (event.type === 'cut') this.cut += event.processes;
    if (event.type !== 'state') return;
    if (event.state === 'failed') this.failed++;
    if (event.state !== 'ready') return;
    this.ready++;
    const startedAt = supervisor.generations.find(running => running.number === event.generation)?.startedAt;
    if (startedAt === undefined) return;
    this.#startsMs.push(event.at - startedAt);
    if (this.#startsMs.length > MAX_STARTS) this.#startsMs.shift();
  }
}

/** Where nobody measures, nothing grows. */
const MAX_STARTS = 1_000;
