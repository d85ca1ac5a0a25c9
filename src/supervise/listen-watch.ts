import { allListeners, type SeenListener } from '../kernel/all-listeners.ts';
import { socketInodes } from '../kernel/proc-fd.ts';
import type { Running } from './running.ts';

const LOOK_MS = 50;
/** Under interception most have called listen(2) before anybody looks. */
const SELDOM_LOOK_MS = 1_000;

/**
 * Waits until a process of a starting generation listens, where listen(2) is not intercepted and nothing was passed: all
 * that can be seen from outside is the socket.
 */
export function watchForListener(running: Running, onListen: (listeners: SeenListener[]) => void): void {
  const look = () => {
    if (running.starting.signal.aborted) return;
    const seen = listenersOf(running);
    if (seen.length > 0) onListen(seen);
    else setTimeout(look, LOOK_MS);
  };
  look();
}

/**
 * Looks for a listener that no listen(2) was seen of, while a generation starts: io_uring listens as well (IORING_OP_LISTEN,
 * Linux 6.11), and seccomp(2) sees nothing of that.
 *
 * @param isKnown whether a listener with that inode is held, or left alone
 * @param onListen called once, with what is listened on unseen
 */
export function watchForUnseen(
  running: Running,
  isKnown: (inode: number) => boolean,
  onListen: (listeners: SeenListener[]) => void,
): void {
  const { signal } = running.starting;
  const look = () => {
    const unseen = listenersOf(running).filter(({ inode }) => !isKnown(inode));
    if (unseen.length > 0) onListen(unseen);
    else timer.refresh();
  };
  const timer = setTimeout(look, SELDOM_LOOK_MS);
  signal.addEventListener('abort', () => clearTimeout(timer));
}

function listenersOf(running: Running): SeenListener[] {
  const inodes = new Set(running.family().flatMap(({ pid }) => [...socketInodes(pid)]));
  return allListeners().filter(({ inode }) => inodes.has(inode));
}
