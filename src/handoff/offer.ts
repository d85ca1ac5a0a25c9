import { MAX_FDS } from '../kernel/scm-rights.ts';
import type { FrozenSocket } from '../kernel/tcp-handle.ts';
import type { Channel } from './channel.ts';
import { type GivenConnection, MAX_MESSAGE_BYTES } from './protocol.ts';

/*
 * Connections that are offered, in batches, and who they are offered to.
 */

/** Batches on their way to one receiver. The queue of a unix socket holds 10 messages (net.unix.max_dgram_qlen). */
const WINDOW = 8;
/** What a connection adds to a message without its state. */
const CONNECTION_BYTES = 256;

export interface Offer {
  frozen: FrozenSocket;
  given: GivenConnection;
  answer: (taken: boolean) => void;
  /** Receivers that did not take it: each process of a generation, and each part of one, has servers of its own. */
  refusedBy?: Set<Receiver>;
}

export interface Receiver {
  channel: Channel;
  generation: number;
  /** Undefined before its hello. */
  room: number | undefined;
  /** Batches without an answer, oldest first: answers come in their order. */
  unanswered: Offer[][];
}

export function roomOf({ room, unanswered }: Receiver): number {
  return unanswered.reduce((left, batch) => left - batch.length, room ?? 0);
}

export function isReady(receiver: Receiver): boolean {
  return receiver.unanswered.length < WINDOW && roomOf(receiver) > 0;
}

/** Removes from the front what fits into one message to a receiver; the first one does, whatever its size. */
export function takeBatch(pending: Offer[], most: number, receiver: Receiver): Offer[] {
  let bytes = 0;
  let count = 0;
  for (const { given, refusedBy } of pending) {
    bytes += CONNECTION_BYTES + base64Bytes(given);
    if (count > 0 && refusedBy?.has(receiver)) break;
    if (count > 0 && (count >= Math.min(most, MAX_FDS) || bytes > MAX_MESSAGE_BYTES)) break;
    count++;
  }
  return pending.splice(0, count);
}

function base64Bytes({ to, state, unread }: GivenConnection): number {
  return to.length + Math.ceil((((state?.length ?? 0) + (unread?.length ?? 0)) * 4) / 3);
}

/** What was closed since it was offered is left out, at every attempt to send anew. */
export function give(receiver: Receiver, offers: Offer[]): void {
  const batch: Offer[] = [];
  receiver.unanswered.push(batch);
  const make = () => {
    batch.length = 0;
    const fds: number[] = [];
    for (const offer of offers) {
      const fd = offer.frozen.fd();
      if (fd === undefined) continue;
      batch.push(offer);
      fds.push(fd);
    }
    if (fds.length === 0) return undefined;
    const connections = batch.map(({ given }) => given);
    return { message: { type: 'give', connections } as const, fds };
  };
  receiver.channel.send(make, () => {
    // Nobody answers what was not sent.
    if (batch.length === 0) receiver.unanswered = receiver.unanswered.filter(one => one !== batch);
    if (batch.length === offers.length) return;
    const sent = new Set(batch);
    for (const offer of offers) if (!sent.has(offer)) offer.answer(false);
  });
}
