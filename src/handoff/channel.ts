import { codeOf } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import { POLLIN, POLLOUT, type Poller } from '../kernel/poll.ts';
import { receiveFds, sendFds } from '../kernel/scm-rights.ts';
import { decode, encode, MAX_MESSAGE_BYTES, type Message } from './protocol.ts';

/** What a channel tells its owner; after `onEnd` nothing more. */
export interface ChannelEvents {
  /** The descriptors are the owner's to close. */
  onMessage(message: Message, fds: number[]): void;
  /** A message came whose descriptors this process had no room for; those that came are closed. */
  onOverflow?(): void;
  /** The other side is gone, or broke the protocol: then `error` says how. The channel is closed. */
  onEnd(error?: unknown): void;
}

/** A message on its way, made anew for every attempt to send it; undefined where there is nothing to say any more. */
export type Outgoing = () => { message: Message; fds?: readonly number[] } | undefined;

/** What became of a message: the kernel has it, nobody is there to read it, or this side closed before it was sent. */
export type Fate = 'sent' | 'peer-gone' | 'closed';

interface Queued {
  make: Outgoing;
  onFate: (fate: Fate) => void;
}

/** How long to wait while too many descriptors of this user are on their way. */
const IN_FLIGHT_PAUSE_MS = 5;

/** One handoff connection: messages in order, both ways, without blocking. Owns its descriptor. */
export class Channel {
  readonly #fd: number;
  readonly #poller: Poller;
  readonly #events: ChannelEvents;
  readonly #outgoing: Queued[] = [];
  #pause: NodeJS.Timeout | undefined;
  /** Whether it is watched for room at the other side; undefined before it is watched at all. */
  #blocked: boolean | undefined;
  #closed = false;

  constructor(fd: number, poller: Poller, events: ChannelEvents) {
    this.#fd = fd;
    this.#poller = poller;
    this.#events = events;
    this.#watch();
  }

  /**
   * Sends a message, at once where the other side has room for it.
   *
   * @param make its descriptors stay the caller's, and are only used before `make` or `onFate` is called next
   * @param onFate called once, in the same tick as the system call
   */
  send(make: Outgoing, onFate: (fate: Fate) => void = () => undefined): void {
    if (this.#closed) {
      onFate('closed');
      return;
    }
    this.#outgoing.push({ make, onFate });
    if (this.#outgoing.length === 1) this.#flush();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#pause);
    this.#poller.remove(this.#fd);
    close(this.#fd);
    for (const { onFate } of this.#outgoing.splice(0)) onFate('closed');
  }

  #watch(): void {
    const blocked = this.#outgoing.length > 0 && !this.#pause;
    if (blocked === this.#blocked) return;
    this.#blocked = blocked;
    this.#poller.add(this.#fd, blocked ? POLLIN | POLLOUT : POLLIN, revents => {
      if (revents & POLLOUT) this.#flush();
      if (!this.#closed && revents & ~POLLOUT) this.#receive();
    });
  }

  #flush(): void {
    this.#pause = undefined;
    let next = this.#outgoing[0];
    while (next && !this.#closed) {
      const fate = this.#attempt(next.make);
      if (!fate) break;
      this.#outgoing.shift();
      next.onFate(fate);
      next = this.#outgoing[0];
    }
    if (!this.#closed) this.#watch();
  }

  /** Undefined: try again later. */
  #attempt(make: Outgoing): Fate | undefined {
    const made = make();
    if (!made) return 'sent';
    try {
      return sendFds(this.#fd, encode(made.message), made.fds) ? 'sent' : undefined;
    } catch (error) {
      // What the other side sent before it went is still to be read, and the end comes after it.
      if (codeOf(error) !== 'ETOOMANYREFS') return 'peer-gone';
      // Too many descriptors of this user are on their way (unix(7)), and nothing tells when they have arrived.
      this.#pause = setTimeout(() => this.#flush(), IN_FLIGHT_PAUSE_MS);
      return undefined;
    }
  }

  /** One message at a time, so that the connections in it are served before the next one is read. */
  #receive(): void {
    try {
      const received = receiveFds(this.#fd, MAX_MESSAGE_BYTES);
      if (received === 'again') return;
      if (received === 'end') this.#end();
      else this.#deliver(received.payload, received.fds);
    } catch (error) {
      if (codeOf(error) === 'ERR_FDS_TRUNCATED' && this.#events.onOverflow) this.#events.onOverflow();
      else this.#end(error);
    }
  }

  #deliver(payload: Buffer, fds: number[]): void {
    let message: Message;
    try {
      message = decode(payload);
    } catch (error) {
      for (const fd of fds) close(fd);
      throw error;
    }
    this.#events.onMessage(message, fds);
  }

  #end(error?: unknown): void {
    if (this.#closed) return;
    this.close();
    this.#events.onEnd(error);
  }
}
