import type { ProcessFacts, SocketFacts } from '../inspection.ts';
import { close } from '../kernel/fd.ts';
import { pidfdGetfd, pidfdOpen } from '../kernel/pidfd.ts';
import { fdOfSocket, likelyOwnersOf, ownersOf } from '../kernel/proc-fd.ts';
import { processFacts } from '../kernel/procfs.ts';
import { getOption } from '../kernel/socket.ts';

/**
 * Fills in the processes of every socket that has an inode, as far as this process may see them.
 *
 * @param every looks into all processes instead of the likely ones
 */
export function nameOwners(sockets: readonly SocketFacts[], every: boolean): void {
  const inodes = new Set(sockets.map(({ inode }) => inode).filter(inode => inode !== 0));
  const pids = every ? ownersOf(inodes) : likelyOwnersOf(inodes);
  const known = new Map<number, ProcessFacts | undefined>();
  const describe = (pid: number) => {
    if (!known.has(pid)) known.set(pid, processFacts(pid));
    return known.get(pid);
  };
  for (const socket of sockets) {
    const owners = (pids.get(socket.inode) ?? []).map(describe);
    socket.owners = owners.filter(owner => owner !== undefined);
  }
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
