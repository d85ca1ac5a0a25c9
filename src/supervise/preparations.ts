import { collectGarbage } from '../kernel/heap.ts';

/** The next command's stage is set when the old generation has had the processor for a while. */
const STAGE_AFTER_MS = 500;
/** Not at the same time: clients of both generations wait for as long as we have the processor. */
const COLLECT_AFTER_MS = 2_000;
/** The hook of a busy program says late that the same command would wait; most programs have none. */
const CONSENT_LOOKS = 20;
const CONSENT_LOOK_MS = 500;

/** What can be done for the next restart. */
export interface Preparing {
  setStage(): void;
  /** Has the next command begin and wait; false where nobody has consented to that yet. */
  standBy(): boolean;
  /** When it may begin, in milliseconds; undefined: not before the restart. */
  standbyMs: number | undefined;
}

/** Prepares the next restart while nobody waits. */
export class Preparations {
  readonly #timers: NodeJS.Timeout[] = [];

  begin({ setStage, standBy, standbyMs }: Preparing): void {
    this.cancel();
    this.#later(STAGE_AFTER_MS, setStage);
    this.#later(COLLECT_AFTER_MS, collectGarbage);
    if (standbyMs === undefined) return;
    const look = (looks: number) => {
      if (!standBy() && looks < CONSENT_LOOKS) this.#later(CONSENT_LOOK_MS, () => look(looks + 1));
    };
    this.#later(standbyMs, () => look(1));
  }

  /** What has been prepared stays. */
  cancel(): void {
    for (const timer of this.#timers.splice(0)) clearTimeout(timer);
  }

  #later(ms: number, work: () => void): void {
    this.#timers.push(setTimeout(work, ms).unref());
  }
}
