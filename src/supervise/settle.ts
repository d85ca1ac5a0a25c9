import { awaitedIn, tellsSleeps } from '../kernel/awaited.ts';
import { usesOfSocket } from '../kernel/epoll.ts';
import { isForbidden, isShortage } from '../kernel/errno.ts';
import { socketInodes } from '../kernel/proc-fd.ts';
import { descendants } from '../kernel/process.ts';
import { executableOf, isEnding } from '../kernel/procfs.ts';
import { hasAny } from './clients.ts';
import type { Running } from './running.ts';

/** The next look comes after a quarter of the time that has passed, and not before as much as the last one took of ours. */
const PER_PASSED = 1 / 4;
const LONGEST_PAUSE_MS = 100;
/** Who has no client waits for one sooner than that; where there are many, to find out whose they are takes a while. */
const SERVES_AFTER_MS = 100;

/** The sockets, by inode, of who is connected to the address of a listener. */
export type ClientsAt = (listener: number) => ReadonlySet<number>;

/**
 * Waits until a starting generation that listens waits for clients as well: for each of its listeners a thread sleeps in a call
 * that ends when one comes. A program that fails right after its listen(2) never gets there. One that clients keep busy may not
 * sleep either: it has accepted some.
 *
 * Looks when listen(2) is answered, after a millisecond, and then ever less often. Resolves at once where the system does not
 * tell; never where the start is over before.
 *
 * @param listeners their inodes; there may be more of them at the next look
 */
export function settled(
  running: Pick<Running, 'pid' | 'listening' | 'starting'>,
  listeners: () => ReadonlySet<number>,
  clientsAt: ClientsAt,
): Promise<void> {
  const { signal } = running.starting;
  return new Promise(fulfil => {
    if (!tellsSleeps()) return fulfil();
    const since = performance.now();
    let timer: NodeJS.Timeout | undefined;
    signal.addEventListener('abort', () => clearTimeout(timer));
    const look = () => {
      if (signal.aborted) return;
      const begun = performance.now();
      const clients = begun - since < SERVES_AFTER_MS ? undefined : clientsAt;
      if (isSettled(listeners(), rootsOf(running), clients)) return fulfil();
      const now = performance.now();
      const pause = Math.max(PER_PASSED * (now - since), now - begun);
      timer = setTimeout(look, Math.min(pause, LONGEST_PAUSE_MS));
    };
    setImmediate(look);
  });
}

/** Who called listen(2) may have left its parents. It waits itself, or those do that it has started. */
function rootsOf({ pid, listening }: Pick<Running, 'pid' | 'listening'>): number[] {
  return pid === undefined ? [...listening] : [...listening, pid];
}

/**
 * | who waits                      | is it settled                                             |
 * |--------------------------------|-----------------------------------------------------------|
 * | somebody for each listener     | yes                                                       |
 * | nobody, but serves a client    | as if it did: the next one finds it there                 |
 * | somebody for some of them      | yes, if nobody has the others open any more (port probes) |
 * | nobody                         | no                                                        |
 * | it cannot be looked at (EPERM) | yes, as it listens, unless that is for its end            |
 */
function isSettled(listeners: ReadonlySet<number>, roots: readonly number[], clientsAt?: ClientsAt): boolean {
  const left = new Set(listeners);
  try {
    for (const pid of processesBelow(roots)) {
      if (left.size === 0) break;
      for (const inode of waitedFor(pid, left)) left.delete(inode);
    }
    if (clientsAt && left.size > 0) for (const inode of servedAt(left, clientsAt, roots)) left.delete(inode);
  } catch (error) {
    return isForbidden(error) || isShortage(error); // else it has just ended, and the next look tells
  }
  return left.size === 0 || (left.size < listeners.size && !isAnyOpen(left, roots));
}

/**
 * Node's event loop tells epoll of a listener right before it waits for the first time (libuv, uv__io_poll()): what the program
 * does in the tick of its listen() is over by then. It sleeps only when all that comes after a start is done, too.
 */
function waitedFor(pid: number, inodes: ReadonlySet<number>): Iterable<number> {
  const isNode = /\/node(?:js)?$/.test(executableOf(pid) ?? '');
  return isNode ? watchedIn(pid, inodes) : awaitedIn(pid, inodes);
}

function watchedIn(pid: number, inodes: ReadonlySet<number>): number[] {
  try {
    return [...inodes].filter(inode => usesOfSocket(pid, inode).entries.length > 0);
  } catch (error) {
    if (isForbidden(error) && isEnding(pid)) return [];
    throw error;
  }
}

/** Those that a process has open which has accepted a client from there. */
function servedAt(inodes: ReadonlySet<number>, clientsAt: ClientsAt, roots: readonly number[]): number[] {
  const pids = [...processesBelow(roots)];
  return [...inodes].filter(inode => {
    const clients = clientsAt(inode);
    return pids.some(pid => hasAny(pid, clients) && hasAny(pid, new Set([inode])));
  });
}

function isAnyOpen(inodes: ReadonlySet<number>, roots: readonly number[]): boolean {
  return [...processesBelow(roots)].some(pid => [...socketInodes(pid)].some(inode => inodes.has(inode)));
}

/** Each once; those that were named come first, and mostly are enough. */
function* processesBelow(roots: readonly number[]): Generator<number> {
  const seen = new Set(roots);
  yield* seen;
  for (const root of roots) {
    for (const { pid } of descendants(root)) {
      if (seen.has(pid)) continue;
      seen.add(pid);
      yield pid;
    }
  }
}
