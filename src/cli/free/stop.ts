import type { ProcessFacts } from '../../inspection.ts';
import { codeOf } from '../../kernel/errno.ts';
import { close } from '../../kernel/fd.ts';
import { hasLibc } from '../../kernel/libc.ts';
import { pidfdOpen, pidfdSendSignal } from '../../kernel/pidfd.ts';
import { processFacts } from '../../kernel/procfs.ts';

/** `startedAt` is computed from two clocks. Nobody is given the pid of a process that began less than this before. */
const SAME_START_MS = 1_000;

/**
 * Signals the processes, and no others that may have been given their pids since they were seen: each is held by a pidfd
 * and compared with what was seen before it is signalled (pidfd_send_signal(2)).
 *
 * @returns those that the signal reached; the rest had ended
 * @throws KernelError EPERM for another user's process
 */
export function signalAll(processes: readonly ProcessFacts[], signal: 'SIGTERM' | 'SIGKILL'): ProcessFacts[] {
  return processes.filter(seen => (hasLibc() ? signalHeld(seen, signal) : signalByPid(seen, signal)));
}

function signalHeld(seen: ProcessFacts, signal: 'SIGTERM' | 'SIGKILL'): boolean {
  let pidfd: number | undefined;
  try {
    pidfd = pidfdOpen(seen.pid);
    if (!isSame(seen)) return false;
    pidfdSendSignal(pidfd, signal);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false;
    throw error;
  } finally {
    if (pidfd !== undefined) close(pidfd);
  }
}

/** The next best, where there is no pidfd. */
function signalByPid(seen: ProcessFacts, signal: 'SIGTERM' | 'SIGKILL'): boolean {
  try {
    return isSame(seen) && process.kill(seen.pid, signal);
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false;
    throw error;
  }
}

function isSame(seen: ProcessFacts): boolean {
  if (process.platform !== 'linux') return true;
  const now = processFacts(seen.pid);
  return now !== undefined && Math.abs(now.startedAt - seen.startedAt) < SAME_START_MS;
}
