import type { SocketState } from '../inspection.ts';
import { socketInodes } from '../kernel/proc-fd.ts';
import { readTcpTable, readUnixTable } from '../kernel/proc-net.ts';
import { dumpTcp, hasSockDiag } from '../kernel/sock-diag.ts';
import type { HeldListener } from './holder.ts';

/** Of who may still be answered. */
const SERVED: SocketState[] = ['ESTABLISHED', 'CLOSE_WAIT'];

/** The sockets, by inode, of clients that are connected to the ports and paths of these listeners. */
export function clientsOn(listeners: readonly Pick<HeldListener, 'address'>[]): Set<number> {
  const ports = new Set<number>();
  const paths = new Set<string>();
  for (const { address } of listeners) {
    if (address.family === 'unix') paths.add(address.path);
    else ports.add(address.port);
  }
  const found = new Set<number>();
  for (const port of ports) {
    for (const { state, inode } of hasSockDiag() ? dumpTcp({ localPort: port, states: SERVED }) : readTcpTable(port)) {
      if (SERVED.includes(state)) found.add(inode);
    }
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
