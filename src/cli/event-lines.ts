import type { SuperviseEvent } from '../supervise/events.ts';
import { describeExit } from '../supervise/exit-code.ts';
import type { GenerationState } from '../supervise/generation.ts';
import { describeWay } from '../supervise/way.ts';
import { formatDuration } from './duration.ts';

/** How much a line matters: what to colour, and what `--quiet` leaves out. */
export type Weight = 'good' | 'bad' | 'wait' | 'aside';

export interface EventLine {
  weight: Weight;
  text: string;
}

type StateEvent = Extract<SuperviseEvent, { type: 'state' }>;

/**
 * Events as lines that people read. Remembers when generations started, for how long a start took; a generation that
 * drains because another has become ready shares that one's line.
 */
export class EventLines {
  readonly #last = new Map<number, { state: GenerationState; at: number }>();

  /** @param events those that came together, at one turn of the event loop */
  read(events: readonly SuperviseEvent[]): EventLine[] {
    const lines: EventLine[] = [];
    let ready: EventLine | undefined;
    for (const event of events) {
      if (event.type === 'state' && makesWay(event.state) && ready) {
        ready.text += `; generation ${event.generation} ${event.state}`;
        this.#last.set(event.generation, event);
        continue;
      }
      const line = event.type === 'state' ? this.#state(event) : describe(event);
      if (!line) continue;
      lines.push(line);
      if (event.type === 'state' && event.state === 'ready') ready = line;
    }
    return lines;
  }

  #state(event: StateEvent): EventLine {
    const who = `generation ${event.generation}`;
    const before = this.#last.get(event.generation);
    const took = before ? formatDuration(event.at - before.at) : '';
    this.#last.set(event.generation, event);
    switch (event.state) {
      case 'starting':
        return { weight: 'aside', text: `${who} starting` };
      case 'ready':
        return { weight: 'good', text: `${who} ready (${[pidText(event), took || event.reason].join(', ')})` };
      case 'yielding':
      case 'draining':
        return { weight: 'aside', text: `${who} ${event.state}` };
      case 'exited':
        this.#last.delete(event.generation);
        if (before?.state === 'draining') return { weight: 'aside', text: `${who} gone after ${took}` };
        return {
          weight: event.exit?.code === 0 ? 'aside' : 'bad',
          text: `${who} ${describeExit(event.exit)}${this.#whoGoesOn()}`,
        };
      case 'failed':
        this.#last.delete(event.generation);
        return { weight: 'bad', text: `${who} ${howItFailed(event, took)}${this.#whoGoesOn()}` };
    }
  }

  #whoGoesOn(): string {
    const serving = [...this.#last].filter(([, { state }]) => state === 'ready' || state === 'yielding');
    const [newest] = serving.at(-1) ?? [];
    return newest === undefined ? '' : `; generation ${newest} goes on`;
  }
}

/** For the one that has become ready. */
function makesWay(state: GenerationState): boolean {
  return state === 'yielding' || state === 'draining';
}

/** Its exit says nothing where another reason was there first: relisten ended it then. */
function howItFailed({ exit, reason }: StateEvent, took: string): string {
  return `failed after ${took}: ${reason ?? describeExit(exit)}`;
}

function pidText({ pid }: StateEvent): string {
  return `pid ${pid}`;
}

function describe(event: Exclude<SuperviseEvent, StateEvent>): EventLine | undefined {
  switch (event.type) {
    case 'supervising':
      return { weight: 'aside', text: `this is ${event.name} (pid ${event.pid}); ${describeWay(event.way)}` };
    case 'spawned':
    case 'standby':
      return undefined;
    case 'held':
      return { weight: 'aside', text: `holding ${event.address}` };
    case 'listening':
      return { weight: 'aside', text: `generation ${event.generation} listens on ${event.address}: held from now on` };
    case 'released':
      return { weight: 'aside', text: releasedText(event) };
    case 'waiting':
      return { weight: 'wait', text: `waiting: ${event.reason}` };
    case 'blocked':
      return { weight: 'bad', text: [event.reason, ...event.advice].join('\n  ') };
    case 'status':
      return { weight: 'aside', text: `generation ${event.generation} says: ${event.text}` };
    case 'backoff':
      return { weight: 'wait', text: backoffText(event) };
    case 'cut':
      return { weight: 'wait', text: `generation ${event.generation} killed (${plural(event.processes, 'process')})` };
    case 'watching':
      return { weight: 'aside', text: `watching ${event.globs.join(' ') || '.'} (${plural(event.files, 'file')})` };
    case 'unintercepted':
      return { weight: 'wait', text: `bind(2) and listen(2) are not intercepted: ${event.reason}` };
    case 'notice':
      return { weight: 'wait', text: event.text };
  }
}

function releasedText({ address, isLast }: { address: string; isLast: boolean }): string {
  if (isLast) return `let go of ${address}: nobody listens on it any more`;
  return `let go of one of the listeners on ${address}: the new generation opens fewer`;
}

function backoffText({ delayMs, failures }: { delayMs: number; failures: number }): string {
  if (delayMs === 0) return 'starting it again';
  return `starting it again in ${formatDuration(delayMs)} (${failures} failures in a row)`;
}

/** `1 file`, `2 files`; a noun in -s takes -es. */
export function plural(count: number, noun: string): string {
  if (count === 1) return `1 ${noun}`;
  return `${count} ${noun}${noun.endsWith('s') ? 'es' : 's'}`;
}
