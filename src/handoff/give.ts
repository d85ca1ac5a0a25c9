import type { Server, Socket } from 'node:net';
import { close } from '../kernel/fd.ts';
import { Poller } from '../kernel/poll.ts';
import { connectSeqpacket, MAX_FDS } from '../kernel/scm-rights.ts';
import { peerCredentials } from '../kernel/socket.ts';
import { freeze } from '../kernel/tcp-handle.ts';
import { Channel } from './channel.ts';
import { describe } from './describe.ts';
import { give, isReady, type Offer, type Receiver, roomOf, takeBatch } from './offer.ts';
import type { Message } from './protocol.ts';
import { isReceiverExpected, mayReceive, type Ready, readReady, receiverPaths, watchDirectory } from './rendezvous.ts';
import { warnOnce } from './warn.ts';

/** Passes connections to the processes of the generation that is ready. */
export interface Giver {
  /**
   * Offers a connection. The caller has just seen that it is between two requests, or that it is raw TCP. It is not read
   * from now on, unless the answer is false.
   *
   * @returns true once another process owns it and has said so: close it here, nothing will be sent. False: it is ours.
   */
  handOff(socket: Socket, about: { server: Server; protocol: 'http1' | 'tcp' }): boolean | Promise<boolean>;
  /** Lets go of the receivers. What they have not answered is theirs, or the kernel's to close. */
  close(): Promise<void>;
}

export interface GiveOptions {
  /** How long to wait for the first receiver, in milliseconds. @default 1_000 */
  waitMs?: number;
}

/**
 * Looks for the receivers of the ready generation in the private directory.
 *
 * @returns undefined where none has come within the time
 */
export async function openGiver(
  directory: string,
  ready: Ready,
  options: GiveOptions = {},
): Promise<Giver | undefined> {
  const giver = new ConnectionGiver(directory, ready, options.waitMs ?? 1_000);
  if (await giver.ready()) return giver;
  await giver.close();
  return undefined;
}

class ConnectionGiver implements Giver {
  readonly #directory: string;
  readonly #waitMs: number;
  readonly #poller = new Poller();
  readonly #receivers = new Map<string, Receiver>();
  readonly #unwatch: () => void;
  /** Who is ready: a drain may outlast one generation and more. */
  #ready: Ready;
  #pending: Offer[] = [];
  #scheduled = false;
  /** Runs while the ready generation may still come to receive. */
  #expecting: NodeJS.Timeout | undefined;
  #onExpected: (came: boolean) => void = () => undefined;

  constructor(directory: string, ready: Ready, waitMs: number) {
    this.#directory = directory;
    this.#waitMs = waitMs;
    this.#ready = ready;
    this.#unwatch = watchDirectory(directory, () => this.#look());
    this.#expect();
    this.#look();
  }

  /** Whether somebody receives, as soon as that is known. */
  ready(): Promise<boolean> {
    return new Promise(settle => {
      this.#onExpected = settle;
    });
  }

  handOff(
    socket: Socket,
    { server, protocol }: { server: Server; protocol: 'http1' | 'tcp' },
  ): boolean | Promise<boolean> {
    const frozen = freeze(socket);
    if (!frozen) return false;
    const given = describe(socket, server, protocol);
    if (!given) {
      frozen.thaw();
      return false;
    }
    return new Promise(settle => {
      const answer = (taken: boolean) => {
        if (!taken) {
          if (given.unread) socket.unshift(given.unread);
          frozen.thaw();
        }
        settle(taken);
      };
      this.#pending.push({ frozen, given, answer });
      // A full message goes at once: the receiver works on it while the rest is being looked at.
      if (this.#pending.length === MAX_FDS) this.#send();
      else this.#schedule();
    });
  }

  async close(): Promise<void> {
    this.#unwatch();
    clearTimeout(this.#expecting);
    this.#expecting = undefined;
    for (const { channel, unanswered } of this.#receivers.values()) {
      channel.close();
      for (const offer of unanswered.flat()) offer.answer(true);
    }
    this.#receivers.clear();
    this.#send();
    this.#poller.close();
  }

  #expect(): void {
    clearTimeout(this.#expecting);
    this.#expecting = setTimeout(() => this.#expected(), this.#waitMs);
  }

  #expected(): void {
    clearTimeout(this.#expecting);
    this.#expecting = undefined;
    this.#onExpected(this.#present().some(({ room }) => room !== undefined));
    this.#schedule();
  }

  /** Receivers of the ready generation. */
  #present(): Receiver[] {
    return [...this.#receivers.values()].filter(({ generation }) => generation === this.#ready.generation);
  }

  /** Each receives for its own servers, so it takes all of them; not only the first that says hello. */
  #lookWhetherAll(): void {
    const present = this.#present();
    if (!this.#expecting || present.length === 0 || present.some(({ room }) => room === undefined)) return;
    if (!isReceiverExpected(this.#directory, this.#ready.generation)) this.#expected();
  }

  #look(): void {
    const ready = readReady(this.#directory);
    if (ready && ready.generation > this.#ready.generation) {
      this.#ready = ready;
      this.#expect();
    }
    for (const path of receiverPaths(this.#directory, this.#ready.generation)) {
      if (!this.#receivers.has(path)) this.#connect(path);
    }
    this.#lookWhetherAll();
  }

  #connect(path: string): void {
    let fd: number;
    try {
      fd = connectSeqpacket(path);
    } catch {
      return; // Bound but not listening yet, or left over: the directory changes again, or it never mattered.
    }
    const peer = peerCredentials(fd);
    if (!mayReceive(peer, this.#ready, process.getuid?.() ?? -1)) {
      close(fd);
      warnOnce(`Refused to hand connections to pid ${peer.pid}: not a process of generation ${this.#ready.generation}`);
      return;
    }
    const channel = new Channel(fd, this.#poller, {
      onMessage: (message, fds) => this.#onMessage(path, receiver, message, fds),
      onEnd: error => this.#onEnd(path, receiver, error),
    });
    const { generation } = this.#ready;
    const receiver: Receiver = { channel, generation, room: undefined, unanswered: [] };
    this.#receivers.set(path, receiver);
  }

  #onMessage(path: string, receiver: Receiver, message: Message, fds: number[]): void {
    for (const fd of fds) close(fd);
    const batch = message.type === 'hello' ? undefined : receiver.unanswered.shift();
    if (message.type === 'give' || fds.length > 0 || (message.type !== 'hello' && !batch)) {
      receiver.channel.close();
      this.#onEnd(path, receiver, new Error(`an unexpected ${message.type}`), batch);
      return;
    }
    receiver.room = message.room;
    if (message.type === 'hello') this.#lookWhetherAll();
    const refused = message.type === 'taken' ? new Set(message.refused) : undefined;
    const kept = batch?.filter((_, index) => !refused || refused.has(index)) ?? [];
    batch?.forEach((offer, index) => {
      if (refused && !refused.has(index)) offer.answer(true);
    });
    this.#keep(kept, receiver);
    this.#schedule();
  }

  /**
   * What a receiver did not take goes to another one of its generation, or of the one that has become ready since; where
   * there is none it is ours again.
   */
  #keep(offers: Offer[], receiver: Receiver): void {
    if (offers.length > 0) this.#look();
    const isNewer = this.#ready.generation > receiver.generation;
    for (const offer of offers) {
      offer.refusedBy ??= new Set();
      offer.refusedBy.add(receiver);
      if (isNewer || this.#openTo(offer).length > 0) this.#pending.push(offer);
      else offer.answer(false);
    }
  }

  /** Who of the ready generation may still take it. */
  #openTo(offer: Offer): Receiver[] {
    return this.#present().filter(one => (one.room ?? 0) > 0 && !offer.refusedBy?.has(one));
  }

  /**
   * | the receiver              | what it did not answer                                                   |
   * |---------------------------|--------------------------------------------------------------------------|
   * | ended                     | is ours: it answers before it reads, and its answers came before the end |
   * | broke the protocol        | is given up: it may have taken it, and two must never read               |
   */
  #onEnd(path: string, receiver: Receiver, error?: unknown, more: Offer[] = []): void {
    if (error) warnOnce(`Stopped handing connections to ${path}: ${String(error)}`);
    else this.#receivers.delete(path);
    receiver.room = 0;
    const unanswered = [...more, ...receiver.unanswered.splice(0).flat()];
    if (error) for (const offer of unanswered) offer.answer(true);
    else this.#keep(unanswered, receiver);
    this.#schedule();
  }

  /** Everything that is offered in one go goes over in as few messages as will do. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  #send(): void {
    for (let first = this.#pending[0]; first; first = this.#pending[0]) {
      const open = this.#openTo(first);
      const receiver = open.filter(isReady).sort((a, b) => a.unanswered.length - b.unanswered.length)[0];
      // Its answer, or its hello, brings us back.
      if (!receiver && (this.#expecting || open.some(({ unanswered }) => unanswered.length > 0))) return;
      if (receiver) {
        const share = Math.ceil(this.#pending.length / open.length);
        give(receiver, takeBatch(this.#pending, Math.min(share, roomOf(receiver)), receiver));
      } else {
        const hopeful = this.#pending.findIndex(offer => this.#openTo(offer).length > 0);
        const hopeless = this.#pending.splice(0, hopeful === -1 ? this.#pending.length : hopeful);
        for (const offer of hopeless) offer.answer(false);
      }
    }
  }
}
