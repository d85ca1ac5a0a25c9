import { EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, encodeEpollEvent } from './epoll.ts';
import { close } from './fd.ts';
import { call } from './libc.ts';
import { POLLIN, type Poller } from './poll.ts';

/**
 * Tells when sockets hang up: a listener does when somebody who has it has ended it by shutdown(2), or connect(2) to no
 * address. An epoll instance that waits for nothing but that (EPOLLHUP comes unasked, epoll_ctl(2)) is itself what the poller
 * watches, which would make the sockets non-blocking for all who have them.
 */
export class HangUps {
  readonly #poller: Poller;
  readonly #onHangUp: () => void;
  #epoll: number | undefined;
  #closed = false;

  /** @param onHangUp is told again and again while one is so: look which, and mend or remove it */
  constructor(poller: Poller, onHangUp: () => void) {
    this.#poller = poller;
    this.#onHangUp = onHangUp;
  }

  add(fd: number): void {
    if (this.#closed) return;
    if (this.#epoll === undefined) {
      this.#epoll = call('epoll_create1', [EPOLL_CLOEXEC]);
      this.#poller.add(this.#epoll, POLLIN, this.#onHangUp);
    }
    this.#control(EPOLL_CTL_ADD, fd);
  }

  /** To be called before the socket is closed here: it goes on where others have it. */
  remove(fd: number): void {
    this.#control(EPOLL_CTL_DEL, fd);
  }

  /** For good. */
  close(): void {
    this.#closed = true;
    if (this.#epoll === undefined) return;
    this.#poller.remove(this.#epoll);
    close(this.#epoll);
    this.#epoll = undefined;
  }

  #control(operation: number, fd: number): void {
    if (this.#epoll !== undefined) call('epoll_ctl', [this.#epoll, operation, fd, encodeEpollEvent()]);
  }
}
