import { F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFD, F_SETFL, FD_CLOEXEC, O_NONBLOCK } from './constants.ts';
import { call, callAside } from './libc.ts';

/*
 * close(2) and fcntl(2) on file descriptors, every one of which its caller owns.
 */

/** Closes it. The number must not be used again, whatever happens (close(2), "Dealing with error returns"). */
export function close(fd: number): void {
  call('close', [fd]);
}

/** A second descriptor of the same open file description, CLOEXEC, numbered 3 or higher; the caller owns it. */
export function duplicate(fd: number): number {
  return call('fcntl', [fd, F_DUPFD_CLOEXEC, 3], `${fd}, F_DUPFD_CLOEXEC`);
}

/**
 * Has the process's table of descriptors grow ahead, on another thread: where a process has threads, whoever needs a
 * descriptor that does not fit waits for it, 10 to 16 ms each time that it doubles (synchronize_rcu() in expand_fdtable(),
 * fs/file.c). Beyond RLIMIT_NOFILE it does nothing.
 *
 * @param fd any that is open
 * @param size how many descriptors are to fit
 */
export async function growTable(fd: number, size: number): Promise<void> {
  const last = await callAside('fcntl', [fd, F_DUPFD_CLOEXEC, size - 1]);
  if (last !== -1) close(last);
}

/** The same on this thread, for a process that nobody waits for. */
export function growTableNow(fd: number, size: number): void {
  try {
    close(call('fcntl', [fd, F_DUPFD_CLOEXEC, size - 1]));
  } catch {
    // It may not have so many.
  }
}

/** Whether execve(2) closes the descriptor. */
export function isCloexec(fd: number): boolean {
  return (call('fcntl', [fd, F_GETFD, 0], `${fd}, F_GETFD`) & FD_CLOEXEC) !== 0;
}

export function setCloexec(fd: number, on: boolean): void {
  call('fcntl', [fd, F_SETFD, on ? FD_CLOEXEC : 0], `${fd}, F_SETFD`);
}

/** O_NONBLOCK of the open file description, which every holder of the socket shares (fcntl(2)). */
export function isNonblocking(fd: number): boolean {
  return (statusFlags(fd) & O_NONBLOCK) !== 0;
}

/** Sets or clears O_NONBLOCK, for every holder at once. */
export function setNonblocking(fd: number, on: boolean): void {
  const flags = statusFlags(fd);
  call('fcntl', [fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK], `${fd}, F_SETFL`);
}

function statusFlags(fd: number): number {
  return call('fcntl', [fd, F_GETFL, 0], `${fd}, F_GETFL`);
}
