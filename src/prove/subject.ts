import type { GenerationEvent, RestartRecord } from './proof.ts';

/** What is restarted while the load runs. */
export interface Subject {
  /** The command that serves, where this is its subject's business; and how it is restarted, in words. */
  readonly command?: string;
  readonly restartedBy: string;
  /** Changes of state so far, `at` in Unix time (ms); empty where nobody tells. */
  readonly events: GenerationEvent[];
  /** Restarts it once, and waits until that is over: the old one is gone. Rejects only when `signal` aborts. */
  restart(signal: AbortSignal): Promise<Pick<RestartRecord, 'ok' | 'detail'>>;
  /** Ends what it started. */
  close(): Promise<void>;
}
