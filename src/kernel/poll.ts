import { call, watchDescriptor } from './libc.ts';

export const POLLIN = 0x1;
export const POLLOUT = 0x4;
export const POLLHUP = 0x10;

/** sizeof(struct pollfd). */
const POLLFD_BYTES = 8;

type Callback = (revents: number) => void;

interface Watched {
  events: number;
  callback: Callback;
  /** Undefined while it is to be watched anew: libuv lets go of what has an error. */
  handle: { close(): void } | undefined;
  scheduled: boolean;
}

/**
 * Waits for descriptors in the event loop itself (uv_poll_t): no thread is blocked, and none of libuv's is taken from the
 * program. Level-triggered: a callback that does not consume what it was told of is told again. The descriptors stay the
 * caller's, and become non-blocking (O_NONBLOCK); remove one before closing it.
 *
 * An open poller with descriptors keeps the event loop alive.
 */
export class Poller {
  readonly #watched = new Map<number, Watched>();
  #closed = false;

  /** Calls back with the revents of poll(2) whenever there are any; replaces an earlier callback for the fd. */
  add(fd: number, events: number, callback: Callback): void {
    if (this.#closed) throw new Error('the poller is closed');
    const known = this.#watched.get(fd);
    if (known?.events === events) {
      known.callback = callback;
      return;
    }
    this.remove(fd);
    const watched: Watched = { events, callback, handle: undefined, scheduled: false };
    this.#watched.set(fd, watched);
    this.#watch(fd, watched);
  }

  remove(fd: number): void {
    const watched = this.#watched.get(fd);
    this.#watched.delete(fd);
    watched?.handle?.close();
  }

  /** Lets go of all. */
  close(): void {
    this.#closed = true;
    for (const fd of [...this.#watched.keys()]) this.remove(fd);
  }

  #watch(fd: number, watched: Watched): void {
    const { events } = watched;
    const wanted = { readable: (events & POLLIN) !== 0, writable: (events & POLLOUT) !== 0 };
    watched.handle = watchDescriptor(fd, wanted, status => {
      // Not from here: no microtask would run behind it. The check phase follows the poll phase that we are in.
      if (!watched.scheduled) setImmediate(() => this.#dispatch(fd, watched, status !== 0));
      watched.scheduled = true;
    });
  }

  /** libuv tells less than poll(2) does. */
  #dispatch(fd: number, watched: Watched, failed: boolean): void {
    watched.scheduled = false;
    if (this.#watched.get(fd) !== watched) return;
    const revents = pollNow(fd, watched.events);
    if (revents !== 0) watched.callback(revents);
    if (!failed || this.#watched.get(fd) !== watched) return;
    watched.handle?.close();
    this.#watch(fd, watched);
  }
}

function pollNow(fd: number, events: number): number {
  const pollfd = Buffer.alloc(POLLFD_BYTES);
  pollfd.writeInt32LE(fd, 0);
  pollfd.writeInt16LE(events, 4);
  call('poll', [pollfd, 1, 0]);
  return pollfd.readInt16LE(6);
}
