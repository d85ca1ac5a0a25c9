import type { ExitStatus, GenerationState } from './generation.ts';
import type { Way } from './way.ts';

/** What happens under a supervisor, in order; a line of `--json`, an event of GET /events. */
export type SuperviseEvent = {
  /** Unix time in ms. */
  at: number;
} & (
  | { type: 'state'; generation: number; state: GenerationState; pid?: number; exit?: ExitStatus; reason?: string }
  | { type: 'listening'; generation: number; address: string }
  | { type: 'supervising'; name: string; pid: number; way: Way }
  | { type: 'spawned'; generation: number; pid: number }
  | { type: 'standby'; pid: number }
  | { type: 'held'; address: string }
  | { type: 'released'; address: string; isLast: boolean }
  | { type: 'waiting'; generation: number; address: string; reason: string; until?: number }
  | { type: 'blocked'; generation: number; address: string; reason: string; advice: string[] }
  | { type: 'status'; generation: number; text: string }
  | { type: 'backoff'; delayMs: number; failures: number }
  | { type: 'cut'; generation: number; processes: number }
  | { type: 'watching'; globs: string[]; files: number }
  | { type: 'unintercepted'; reason: string }
  | { type: 'notice'; text: string }
);

/** An event without its time. */
export type EventFacts<T = SuperviseEvent> = T extends SuperviseEvent ? Omit<T, 'at'> : never;

/** What became of a restart. */
export type RestartOutcome =
  | { ok: true; generation: number; pid: number; durationMs: number }
  | {
      ok: false;
      generation: number;
      /** A sentence. */
      reason: string;
      exit?: ExitStatus;
      /** What a shell would answer, never 0 where somebody else goes on: see exit-code.ts. */
      exitCode: number;
      /** The last lines of its stderr, where relisten could see it. */
      stderr: string[];
      durationMs: number;
    };
