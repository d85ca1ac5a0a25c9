import { SOCK_CLOEXEC, SOCK_NONBLOCK } from './constants.ts';
import { close } from './fd.ts';
import { call, callAsync } from './libc.ts';

export const POLLIN = 0x1;
export const POLLOUT = 0x4;
export const POLLHUP = 0x10;

/** sizeof(struct pollfd). */
const POLLFD_BYTES = 8;

type Callback = (revents: number) => void;

/**
 * Waits for any number of descriptors with one poll(2) on one libuv pool thread, and an eventfd(2) to wake it, so that
 * no thread is ever blocked for good. Level-triggered: a callback that does not consume what it was told of is told
 * again. The descriptors stay the caller's; remove one before closing it.
 *
 * An open poller with descriptors keeps the event loop alive.
 */
export class Poller {
  readonly #watched = new Map<number, { events: number; callback: Callback }>();
  #wakeFd = -1;
  #running: Promise<void> | undefined;
  #closed = false;
  // libuv joins its pool threads at exit: one that sits in poll(2) must be woken first.
  readonly #onExit = () => this.#wake();

  /** Calls back with the revents of poll(2) whenever there are any; replaces an earlier callback for the fd. */
  add(fd: number, events: number, callback: Callback): void {
    if (this.#closed) throw new Error('the poller is closed');
    this.#watched.set(fd, { events, callback });
    if (this.#running) this.#wake();
    else this.#start();
  }

  remove(fd: number): void {
    if (this.#watched.delete(fd)) this.#wake();
  }

  /** Ends the wait; resolves when no thread is in poll(2) any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watched.clear();
    this.#wake();
    await this.#running;
  }

  #start(): void {
    this.#wakeFd = call('eventfd', [0, SOCK_CLOEXEC | SOCK_NONBLOCK]);
    process.on('exit', this.#onExit);
    this.#running = this.#loop().finally(() => {
      process.off('exit', this.#onExit);
      close(this.#wakeFd);
      this.#wakeFd = -1;
      this.#running = undefined;
      if (this.#watched.size > 0 && !this.#closed) this.#start();
    });
  }

  async #loop(): Promise<void> {
    while (this.#watched.size > 0) {
      const { pollfds, fds } = this.#encode();
      const ready = await callAsync('poll', [pollfds, fds.length, -1]);
      if (ready > 0) this.#dispatch(pollfds, fds);
    }
  }

  #encode(): { pollfds: Buffer; fds: number[] } {
    const fds = [this.#wakeFd, ...this.#watched.keys()];
    const pollfds = Buffer.alloc(fds.length * POLLFD_BYTES);
    fds.forEach((fd, index) => {
      pollfds.writeInt32LE(fd, index * POLLFD_BYTES);
      pollfds.writeInt16LE(this.#watched.get(fd)?.events ?? POLLIN, index * POLLFD_BYTES + 4);
    });
    return { pollfds, fds };
  }

  #dispatch(pollfds: Buffer, fds: number[]): void {
    fds.forEach((fd, index) => {
      const revents = pollfds.readInt16LE(index * POLLFD_BYTES + 6);
      if (revents === 0) return;
      if (fd === this.#wakeFd) call('read', [fd, Buffer.alloc(8), 8]);
      else this.#watched.get(fd)?.callback(revents);
    });
  }

  #wake(): void {
    if (this.#wakeFd !== -1) call('write', [this.#wakeFd, BigUint64Array.of(1n), 8]);
  }
}
