import type { ProcessFacts, SocketFacts } from '../inspection.ts';
import { close } from '../kernel/fd.ts';
import { pidfdGetfd, pidfdOpen } from '../kernel/pidfd.ts';
import { fdOfSocket, likelyOwnersOf, ownersOf } from '../kernel/proc-fd.ts';
import { processFacts } from '../kernel/procfs.ts';
import { getOption } from '../kernel/socket.ts';

/** Up to so many sockets each get their owner; of more, one that is found stands for the rest. */
const FEW = 64;

/** The processes that have sockets open, by inode, as far as this process may see them. */
export type Owners = ReadonlyMap<number, ProcessFacts[]>;

/**
 * Finds who has these sockets open. The search may end when every listener has an owner, or, where there is none, every
 * one of a few sockets or any of many.
 *
 * @param every looks into all processes instead of the likely ones
 */
export function findOwners(listeners: readonly number[], others: readonly number[], every: boolean): Owners {
  const wanted = listeners.length > 0 ? listeners : others;
  const enough = (found: ReadonlyMap<number, unknown>) =>
    wanted.length > FEW ? found.size > 0 : wanted.every(inode => found.has(inode));
  const inodes = new Set([...listeners, ...others]);
  const pids = every ? ownersOf(inodes, enough) : likelyOwnersOf(inodes, enough);
  const known = new Map<number, ProcessFacts | undefined>();
  const describe = (pid: number) => {
    if (!known.has(pid)) known.set(pid, processFacts(pid));
    return known.get(pid);
  };
  return new Map([...pids].map(([inode, list]) => [inode, list.map(describe).filter(owner => owner !== undefined)]));
}

/**
 * Whether a socket of another process has SO_REUSEPORT set, read through a duplicate of it that is closed at once;
 * undefined without the right to ptrace that process (pidfd_getfd(2)).
 */
export function readReuseport(socket: SocketFacts): boolean | undefined {
  const pid = socket.owners[0]?.pid;
  const theirs = pid === undefined ? undefined : fdOfSocket(pid, socket.inode);
  if (pid === undefined || theirs === undefined) return undefined;
  const fds: number[] = [];
  try {
    fds.push(pidfdOpen(pid));
    fds.push(pidfdGetfd(fds[0] ?? -1, theirs));
    return getOption(fds[1] ?? -1, 'SO_REUSEPORT') !== 0;
  } catch {
    return undefined;
  } finally {
    fds.forEach(close);
  }
}
