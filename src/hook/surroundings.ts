import { successorOf } from '../handoff/rendezvous.ts';

/** What `relisten run` tells the processes below it. */
export interface Surroundings {
  /** Private directory of the supervisor (RELISTEN_DIR). */
  directory: string;
  /** Which run of the command this is (RELISTEN_GENERATION). */
  generation: number;
  /** The signal that asks this generation to stop (RELISTEN_STOP_SIGNAL). */
  stopSignal: NodeJS.Signals;
  /** When the supervisor ends what has not ended by itself, in milliseconds after that signal (RELISTEN_DRAIN_MS). */
  drainMs: number;
  /** How long this generation goes on serving when the next one is ready, before that signal (RELISTEN_SLOW_START_MS). */
  slowStartMs: number;
  /** Whether the supervisor answers bind(2) and listen(2) (RELISTEN_INTERCEPT). */
  intercepted: boolean;
  /** Whether the next generation starts when this one is gone (RELISTEN_STRATEGY). */
  stopFirst: boolean;
}

/** Undefined for a process that does not run under relisten. */
export function readSurroundings(env: NodeJS.ProcessEnv): Surroundings | undefined {
  const generation = Number(env.RELISTEN_GENERATION);
  if (!env.RELISTEN_DIR || !Number.isSafeInteger(generation) || generation < 1) return undefined;
  return {
    directory: env.RELISTEN_DIR,
    generation,
    stopSignal: isSignal(env.RELISTEN_STOP_SIGNAL) ? env.RELISTEN_STOP_SIGNAL : 'SIGTERM',
    drainMs: milliseconds(env.RELISTEN_DRAIN_MS) ?? 30_000,
    slowStartMs: milliseconds(env.RELISTEN_SLOW_START_MS) ?? 0,
    intercepted: env.RELISTEN_INTERCEPT !== '0',
    stopFirst: env.RELISTEN_STRATEGY === 'stop-first',
  };
}

function milliseconds(text: string | undefined): number | undefined {
  const ms = Number(text ?? Number.NaN);
  return Number.isFinite(ms) && ms >= 0 ? ms : undefined;
}

function isSignal(name: string | undefined): name is NodeJS.Signals {
  return name !== undefined && /^SIG[A-Z0-9]+$/.test(name) && name !== 'SIGKILL' && name !== 'SIGSTOP';
}

/** How long the program may go without hearing that it is to stop while it is drained: of the deadline, and at most. */
const PATIENCE = 1 / 3;
/** Where nobody serves meanwhile: new clients wait for the next generation to start, or somebody at a terminal for the end. */
const LAST_PATIENCE_MS = 2_000;

/** When the program hears of the stop signal in any case, in milliseconds after it. */
export function patienceUnder(facts: Surroundings): number {
  const most = Math.ceil(deadlineUnder(facts) * PATIENCE);
  return successorOf(facts) ? most : Math.min(most, LAST_PATIENCE_MS);
}

/** The supervisor kills what is left at its own deadline: by then the last connection has been told. In milliseconds. */
export function deadlineUnder({ drainMs }: Surroundings): number {
  return drainMs - Math.min(1_000, drainMs / 10);
}
