import { socketInodes } from '../kernel/proc-fd.ts';
import { readUnixTable } from '../kernel/proc-net.ts';
import { dumpTcp } from '../kernel/sock-diag.ts';
import type { Running } from './running.ts';

const LOOK_MS = 50;

/**
 * Waits until a process of a starting generation listens, where listen(2) is not intercepted and nothing was passed: all
 * that can be seen from outside is the socket.
 */
export function watchForListener(running: Running, onListen: () => void): void {
  const look = () => {
    if (running.starting.signal.aborted) return;
    if (listens(running)) onListen();
    else setTimeout(look, LOOK_MS);
  };
  look();
}

function listens(running: Running): boolean {
  const inodes = new Set(dumpTcp({ states: ['LISTEN'] }).map(socket => socket.inode));
  for (const { state, inode } of readUnixTable()) if (state === 'LISTEN') inodes.add(inode);
  return running.family().some(({ pid }) => [...socketInodes(pid)].some(inode => inodes.has(inode)));
}
