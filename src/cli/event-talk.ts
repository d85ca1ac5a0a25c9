import type { EventFacts, SuperviseEvent } from '../supervise/events.ts';
import { lineBreak } from '../supervise/output.ts';
import type { Supervisor } from '../supervise/supervisor.ts';
import { EventLines, type Weight } from './event-lines.ts';
import { onStderr, talk } from './report.ts';

const COLOURS: Record<Weight, Parameters<typeof onStderr>[0]> = {
  good: 'green',
  bad: 'red',
  wait: 'yellow',
  aside: 'dim',
};

/** Tells on stderr what happens, a line an event: for people, or as JSON. */
export class EventTalk {
  readonly #lines = new EventLines();
  readonly #form: { json: boolean; quiet: boolean };
  #together: SuperviseEvent[] = [];
  #failed = false;

  constructor(form: { json: boolean; quiet: boolean }) {
    this.#form = form;
  }

  follow(supervisor: Supervisor): void {
    supervisor.on('event', event => this.tell(event));
  }

  /** Something that the command line itself has to say. */
  say(facts: EventFacts): void {
    this.tell({ at: Date.now(), ...facts } as SuperviseEvent);
  }

  tell(event: SuperviseEvent): void {
    if (this.#form.json) {
      talk(lineBreak() + JSON.stringify(event));
      return;
    }
    if (this.#together.push(event) === 1) queueMicrotask(() => this.flush());
  }

  /** Why relisten ends by itself, unless a line has said so already. */
  end(reason: string, code: number): void {
    if (this.#form.json) {
      talk(lineBreak() + JSON.stringify({ at: Date.now(), type: 'end', code, reason }));
      return;
    }
    this.flush();
    if (!this.#failed) this.#write('bad', `ends: ${reason}`);
  }

  /** Writes what waits for events of the same moment. */
  flush(): void {
    const events = this.#together;
    this.#together = [];
    if (events.some(event => event.type === 'state')) {
      this.#failed = events.some(event => event.type === 'state' && event.state === 'failed');
    }
    for (const { weight, text } of this.#lines.read(events)) {
      if (this.#form.quiet && weight !== 'bad') continue;
      this.#write(weight, text);
    }
  }

  #write(weight: Weight, text: string): void {
    talk(`${lineBreak()}${onStderr('cyan', 'relisten:')} ${onStderr(COLOURS[weight], text)}`);
  }
}
