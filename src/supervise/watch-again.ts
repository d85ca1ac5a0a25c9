import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { EPOLL_CTL_ADD, type EpollEntry, encodeEpollEvent } from '../kernel/epoll.ts';
import { codeOf } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import { pidfdGetfd, pidfdOpenThread } from '../kernel/pidfd.ts';
import { holdProcess } from './held-process.ts';

/** Where the process that makes the calls has them. */
const LISTENER = 3;
const EPOLL = 4;

/**
 * Has epoll instances of a program watch the listener that took the place of a socket which they watched: a program may tell
 * epoll of its socket before it binds it (Asio, Java's selectors, Netty's native transport), and would wait for clients of the
 * one that is gone.
 *
 * epoll knows a socket by its file and its number in the process that told of it (epoll(7)), and the program takes it away
 * again by that number: so another process tells, in which the listener has that number too.
 *
 * @param caller the thread of the program whose descriptors are meant, and its process
 * @param onChild is told of that process in the turn of the event loop that starts it
 * @throws KernelError
 */
export function watchAgain(
  { tid, pid }: { tid: number; pid: number },
  entries: readonly EpollEntry[],
  listener: number,
  onChild: (child: ChildProcess) => void,
): void {
  const none = openSync('/dev/null', 'r+');
  const pidfd = pidfdOpenThread(tid, pid);
  try {
    for (const entry of entries) {
      const epoll = pidfdGetfd(pidfd, entry.epoll);
      try {
        add(entry, [none, none, none, listener, epoll], onChild);
      } finally {
        close(epoll);
      }
    }
  } finally {
    close(pidfd);
    closeSync(none);
  }
}

function add({ fd, events, data }: EpollEntry, stdio: number[], onChild: (child: ChildProcess) => void): void {
  const { child, tracee } = holdProcess({ stdio, onChild });
  try {
    // Out of the way of the listener, which may have to be anywhere.
    const epoll = fd === 1 ? 2 : 1;
    tracee.call('dup3', [EPOLL, epoll, 0]);
    if (fd !== LISTENER) tracee.call('dup3', [LISTENER, fd, 0]);
    const event = tracee.place(encodeEpollEvent(events, data));
    tracee.call('epoll_ctl', [epoll, EPOLL_CTL_ADD, fd, event], `${epoll}, EPOLL_CTL_ADD, ${fd}`);
  } catch (error) {
    // The program has two descriptors of the same instance.
    if (codeOf(error) !== 'EEXIST') throw error;
  } finally {
    child.kill('SIGKILL');
  }
}
