import type { ProcessFacts } from '../../inspection.ts';
import { signalProcess } from '../../kernel/pidfd.ts';
import { processFacts } from '../../kernel/procfs.ts';

/** `startedAt` is computed from two clocks. Nobody is given the pid of a process that began less than this before. */
const SAME_START_MS = 1_000;

/**
 * Signals the processes, and no others that may have been given their pids since they were seen: each is held by a pidfd
 * and compared with what was seen before it is signalled.
 *
 * @returns those that the signal reached; the rest had ended
 * @throws KernelError EPERM for another user's process
 */
export function signalAll(processes: readonly ProcessFacts[], signal: 'SIGTERM' | 'SIGKILL'): ProcessFacts[] {
  return processes.filter(seen => signalProcess(seen.pid, signal, () => isSame(seen)));
}

function isSame(seen: ProcessFacts): boolean {
  if (process.platform !== 'linux') return true;
  const now = processFacts(seen.pid);
  return now !== undefined && Math.abs(now.startedAt - seen.startedAt) < SAME_START_MS;
}
