import { socketInodes } from '../kernel/proc-fd.ts';
import { clientsOn } from '../supervise/clients.ts';
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
  const established = clientsOn(listeners);
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
