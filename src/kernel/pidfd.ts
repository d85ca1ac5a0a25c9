import { constants } from 'node:os';
import { arch } from './constants.ts';
import { call } from './libc.ts';

/*
 * A process held by a descriptor, so that its pid cannot come to mean another process (pidfd_open(2), Linux 5.3).
 */

/** @returns a CLOEXEC fd that the caller closes; it polls readable when the process has ended */
export function pidfdOpen(pid: number): number {
  return call('pidfd_open', [arch().SYS_pidfd_open, pid, 0], `${pid}`);
}

/**
 * A duplicate of another process's descriptor (pidfd_getfd(2), Linux 5.6); needs the right to ptrace it (ptrace(2),
 * PTRACE_MODE_ATTACH_REALCREDS).
 *
 * @returns a CLOEXEC fd of the same open file description, the caller's to close
 */
export function pidfdGetfd(pidfd: number, targetFd: number): number {
  return call('pidfd_getfd', [arch().SYS_pidfd_getfd, pidfd, targetFd, 0], `${pidfd}, ${targetFd}`);
}

/** Signals exactly that process (pidfd_send_signal(2), Linux 5.1); ESRCH when it has ended. */
export function pidfdSendSignal(pidfd: number, signal: NodeJS.Signals): void {
  const number = constants.signals[signal];
  call('pidfd_send_signal', [arch().SYS_pidfd_send_signal, pidfd, number, null, 0], `${pidfd}, ${signal}`);
}
