import { isWrapper } from './family.ts';
import type { Running } from './running.ts';

/** How often processes are counted while a generation ends. */
const LOOK_MS = 100;
/** A wrapper whose children are gone normally follows them at once. */
const WRAPPER_GRACE_MS = 1_000;

export interface Ending {
  signal: NodeJS.Signals;
  /** How long it may take, in ms, before it is killed. */
  graceMs: number;
  /** Ends the grace at once. */
  hurry: AbortSignal;
}

/**
 * Ends a generation: the stop signal to its server, and at the deadline SIGKILL to all of it. Resolves when no process
 * is left.
 *
 * @returns how many processes had to be killed
 */
export async function endRunning(running: Running, { signal, graceMs, hurry }: Ending): Promise<number> {
  if (running.pid === undefined) running.finish(); // never spawned
  let killed = 0;
  const kill = () => {
    killed = running.signalAll('SIGKILL');
  };
  running.signalServer(signal);
  const deadline = setTimeout(kill, graceMs);
  hurry.addEventListener('abort', kill);
  if (hurry.aborted) kill();
  const watch = watchFamily(running, signal);
  await running.gone;
  clearTimeout(deadline);
  clearInterval(watch);
  hurry.removeEventListener('abort', kill);
  return killed;
}

/** Notices the end of processes that are not our children, and reminds wrappers that stay alone. */
function watchFamily(running: Running, signal: NodeJS.Signals): NodeJS.Timeout {
  let aloneSince: number | undefined;
  return setInterval(() => {
    const family = running.family();
    if (family.length === 0 && running.exit) running.finish();
    const alone = family.length > 0 && family.every(ids => isWrapper(ids.pid));
    aloneSince = alone ? (aloneSince ?? Date.now()) : undefined;
    if (aloneSince === undefined || Date.now() - aloneSince < WRAPPER_GRACE_MS) return;
    running.signalAll(signal);
    aloneSince = Date.now();
  }, LOOK_MS);
}
