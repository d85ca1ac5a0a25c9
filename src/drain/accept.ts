import type { Server } from 'node:net';
import { setImmediate as nextIteration } from 'node:timers/promises';
import { closeListener } from '../kernel/handle.ts';

/** How long a listener is emptied at most: under a flood the queue never is. */
const EMPTYING_MS = 1_000;

/**
 * Stops accepting, and answers when the listener is closed.
 *
 * A listener that nobody else holds takes what waits in its accept queue with it: the kernel resets those connections.
 * So it is emptied first. libuv accepts at least one connection in every poll phase that finds any (epoll is
 * level-triggered here), so an iteration of the event loop that brings none has seen the queue empty, and the listener
 * is closed in the check phase right behind that poll.
 *
 * What this cannot see: a handshake whose last ACK is still on its way, and a connection that completes between that
 * poll and the close, some microseconds. Who must not lose those either lets somebody else hold the listener (`shared`).
 */
export async function stopAccepting(server: Server, shared: boolean): Promise<void> {
  if (!server.listening) return;
  if (!shared) await emptyAcceptQueue(server);
  if (server.listening) closeListener(server);
}

async function emptyAcceptQueue(server: Server): Promise<void> {
  const until = performance.now() + EMPTYING_MS;
  let accepted = 0;
  const count = () => accepted++;
  server.on('connection', count);
  server.on('drop', count);
  try {
    // The first iteration may have polled before we were here.
    await nextIteration();
    for (let before = -1; before !== accepted && performance.now() < until; ) {
      before = accepted;
      await nextIteration();
    }
  } finally {
    server.off('connection', count);
    server.off('drop', count);
  }
}
