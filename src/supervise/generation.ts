/**
 * One run of the supervised command.
 *
 * | state    | spawned and answering                        | what may follow                                    |
 * |----------|----------------------------------------------|----------------------------------------------------|
 * | starting | not yet                                      | ready; failed (exit, late, cannot spawn)           |
 * | ready    | yes                                          | yielding; draining; exited (by itself, or a crash) |
 * | yielding | yes, beside its successor, for a slow start  | draining; exited                                   |
 * | draining | finishes what it has                         | exited                                             |
 * | exited   | gone after it had been ready                 | nothing                                            |
 * | failed   | gone, and never was ready                    | nothing                                            |
 */
export type GenerationState = 'starting' | 'ready' | 'yielding' | 'draining' | 'exited' | 'failed';

const FOLLOWS: Record<GenerationState, readonly GenerationState[]> = {
  starting: ['ready', 'failed'],
  ready: ['yielding', 'draining', 'exited'],
  yielding: ['draining', 'exited'],
  draining: ['exited'],
  exited: [],
  failed: [],
};

/** Whether the table allows it; a supervisor that asks for what it does not allow has a bug. */
export function mayBecome(from: GenerationState, to: GenerationState): boolean {
  return FOLLOWS[from].includes(to);
}

/** Whether a process of the generation may still exist. */
export function isAlive(state: GenerationState): boolean {
  return state !== 'exited' && state !== 'failed';
}

/** How a generation's main process ended. */
export interface ExitStatus {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A first start that ends by itself so soon after it was ready has failed: it waited for clients before it knew. */
const FIRST_MOMENT_MS = 1_000;

/**
 * Whether the crash of the very first generation that was ready was a start that failed. What a signal ended did not end by
 * itself.
 *
 * @param readyMs how long it had been ready
 */
export function isFailedFirstStart(exit: ExitStatus, readyMs: number): boolean {
  return exit.code !== null && readyMs < FIRST_MOMENT_MS;
}

/**
 * What the end of a main process means, by the state of its generation:
 *
 * | state            | exit 0, by itself                              | anything else |
 * |------------------|------------------------------------------------|---------------|
 * | starting         | done; a failed start where another one serves  | failed start  |
 * | ready            | done                                           | crash         |
 * | yielding         | over: another one has its place                | over          |
 * | draining, failed | over: it was told to                           | over          |
 */
export function meaningOfExit(
  state: GenerationState,
  exit: ExitStatus,
  anotherServes: boolean,
): 'done' | 'failed-start' | 'crash' | 'over' {
  if (state === 'starting') return exit.code === 0 && !anotherServes ? 'done' : 'failed-start';
  if (state === 'ready') return exit.code === 0 ? 'done' : 'crash';
  return 'over';
}
