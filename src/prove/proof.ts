import type { LoadResult } from './result.ts';

/** A change of state of a run of the server; the states are relisten run's (design: generation). */
export interface GenerationEvent {
  /** Milliseconds since the load started. */
  at: number;
  generation: string;
  state: 'starting' | 'ready' | 'yielding' | 'draining' | 'exited' | 'failed';
}

/** One restart, as whoever asked for it saw it. Times are milliseconds since the load started. */
export interface RestartRecord {
  /** When it was asked for. */
  at: number;
  /** When it was over: the command had exited, or the new generation was ready. */
  endedAt: number;
  ok: boolean;
  /** Why not, or what the command said. */
  detail?: string;
  /** The version that answered for the first time after it, where answers name theirs. */
  generation?: string;
  /** From the request for the restart to that first answer, in milliseconds. */
  firstAnswerMs?: number;
}

/** Everything that `relisten prove` found out: plain JSON, and what every report is made of. */
export interface Proof {
  /** The version of relisten that measured. */
  relisten: string;
  /** What was restarted, and how, as a person would say it. */
  subject: { target: string; command?: string; restart: string };
  /** Classes that the server has no good answer for, so that they took no part. */
  leftOut: { class: string; why: string }[];
  restarts: RestartRecord[];
  events: GenerationEvent[];
  load: LoadResult;
  verdict: Verdict;
}

/** What it comes down to. */
export interface Verdict {
  ok: boolean;
  /** 0 or 1: what `relisten prove` exits with. */
  exitCode: 0 | 1;
  failed: number;
  allowed: number;
  /** One sentence, without a full stop. */
  reason: string;
}
