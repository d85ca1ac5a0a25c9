import { socketInodes } from '../kernel/proc-fd.ts';
import { readUnixTable } from '../kernel/proc-net.ts';
import { dumpTcp } from '../kernel/sock-diag.ts';
import type { HeldListener } from './holder.ts';

/** The sockets, by inode, of clients that are connected to the ports and paths of these listeners. */
export function clientsOn(listeners: readonly Pick<HeldListener, 'address'>[]): Set<number> {
  const ports = new Set<number>();
  const paths = new Set<string>();
  for (const { address } of listeners) {
    if (address.family === 'unix') paths.add(address.path);
    else ports.add(address.port);
  }
  const found = new Set<number>();
  for (const localPort of ports) {
    for (const socket of dumpTcp({ localPort, states: ['ESTABLISHED', 'CLOSE_WAIT'] })) found.add(socket.inode);
  }
  if (paths.size === 0) return found;
  for (const { path, state, inode } of readUnixTable()) {
    if (path !== undefined && paths.has(path) && state === 'ESTABLISHED') found.add(inode);
  }
  return found;
}

/** Whether a process has any of these sockets open. */
export function hasAny(pid: number, inodes: ReadonlySet<number>): boolean {
  return inodes.size > 0 && [...socketInodes(pid)].some(inode => inodes.has(inode));
}
