import { socketInodes } from '../kernel/proc-fd.ts';
import { readUnixTable } from '../kernel/proc-net.ts';
import { dumpTcp } from '../kernel/sock-diag.ts';
import type { HeldListener } from '../supervise/holder.ts';
import type { Running } from '../supervise/running.ts';

/**
 * How many clients each generation serves: established connections of the held listeners' ports and paths that one of
 * its processes has open. Those that wait to be accepted belong to nobody yet.
 *
 * @returns connections by generation number
 */
export function countConnections(
  generations: readonly Running[],
  listeners: readonly HeldListener[],
): Map<number, number> {
  const established = establishedOn(listeners);
  return new Map(
    generations.map(running => [running.number, established.size === 0 ? 0 : count(running, established)]),
  );
}

function count(running: Running, established: ReadonlySet<number>): number {
  const open = new Set<number>();
  for (const { pid } of running.family()) {
    for (const inode of socketInodes(pid)) if (established.has(inode)) open.add(inode);
  }
  return open.size;
}

/** Inodes of the sockets. */
function establishedOn(listeners: readonly HeldListener[]): Set<number> {
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
