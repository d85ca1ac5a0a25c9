import { constants } from 'node:os';
import { arch } from './constants.ts';
import { codeOf, errnoOf, KernelError } from './errno.ts';
import { close } from './fd.ts';
import { call, hasLibc } from './libc.ts';
import { fdOfSocket, threadWithFds } from './proc-fd.ts';

/*
 * A process held by a descriptor, so that its pid cannot come to mean another process (pidfd_open(2), Linux 5.3).
 */

/** @returns a CLOEXEC fd that the caller closes; it polls readable when the process has ended */
export function pidfdOpen(pid: number): number {
  return call('pidfd_open', [arch().SYS_pidfd_open, pid, 0], `${pid}`);
}

/** linux/pidfd.h, O_EXCL: of a thread (Linux 6.9). */
const PIDFD_THREAD = 0o200;

/**
 * The same for a thread, whose table of descriptors is not always that of the main thread: it may have one of its own
 * (unshare(2), CLONE_FILES), and a main thread that has ended has none (pthread_exit(3)). Before Linux 6.9 it is the process.
 *
 * @param pid its process
 */
export function pidfdOpenThread(tid: number, pid: number): number {
  if (tid === pid) return pidfdOpen(pid);
  try {
    return call('pidfd_open', [arch().SYS_pidfd_open, tid, PIDFD_THREAD], `${tid}, PIDFD_THREAD`);
  } catch (error) {
    if (codeOf(error) === 'EINVAL') return pidfdOpen(pid);
    throw error;
  }
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

/**
 * A duplicate of a socket that another process has, by its inode.
 *
 * @returns undefined where it has none with that inode; fd is the caller's to close
 * @throws KernelError EPERM where we may not look into the process
 */
export function duplicateSocketOf(pid: number, inode: number): { fd: number; targetFd: number } | undefined {
  const targetFd = fdOfSocket(pid, inode);
  if (targetFd === undefined) return undefined;
  const pidfd = pidfdOpenThread(threadWithFds(pid) ?? pid, pid);
  try {
    return { fd: pidfdGetfd(pidfd, targetFd), targetFd };
  } finally {
    close(pidfd);
  }
}

/**
 * Signals a process by descriptor (pidfd_send_signal(2), Linux 5.1), so that no other gets the signal that was given its
 * pid meanwhile. By its pid where that is not to be had: a container's seccomp profile may refuse it with any errno, and
 * what cannot be signalled is never stopped.
 *
 * @param isMeant whether that pid is still the process that is meant; asked while it is held
 * @returns false where it has ended, or is not meant
 * @throws KernelError EPERM for another user's process
 */
export function signalProcess(pid: number, signal: NodeJS.Signals, isMeant = () => true): boolean {
  let pidfd: number | undefined;
  try {
    pidfd = hasLibc() ? unlessRefused(() => pidfdOpen(pid)) : undefined;
    if (!isMeant()) return false;
    if (pidfd === undefined || !unlessRefused(() => sendSignal(pidfd ?? -1, signal))) kill(pid, signal);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false;
    throw error;
  } finally {
    if (pidfd !== undefined) close(pidfd);
  }
}

function unlessRefused<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (codeOf(error) === 'ESRCH') throw error;
    return undefined;
  }
}

function sendSignal(pidfd: number, signal: NodeJS.Signals): true {
  const number = constants.signals[signal];
  call('pidfd_send_signal', [arch().SYS_pidfd_send_signal, pidfd, number, null, 0], `${pidfd}, ${signal}`);
  return true;
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    throw new KernelError('kill', errnoOf(codeOf(error) ?? ''), `${pid}, ${signal}`);
  }
}
