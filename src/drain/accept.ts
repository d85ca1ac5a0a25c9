import type { Server } from 'node:net';
import { setImmediate as nextIteration, setTimeout as pause } from 'node:timers/promises';
import { closeListener, ownListenerFd } from '../kernel/handle.ts';
import { hasLibc } from '../kernel/libc.ts';
import { dumpTcp } from '../kernel/sock-diag.ts';
import { dropNewConnections, takeNewConnections } from '../kernel/socket-filter.ts';

/** How long a listener is emptied at most: under a flood the queue never is. */
const EMPTYING_MS = 1_000;
/** How long handshakes in progress are waited for: some clients have gone and will never complete theirs. */
const HANDSHAKES_MS = 500;
const LOOK_AGAIN_MS = 5;

/**
 * Stops accepting, and answers when the listener is closed.
 *
 * A listener that nobody else holds takes what waits in its accept queue with it: the kernel resets those connections,
 * and those that complete their handshake afterwards. So it is emptied first. Where it is certainly ours, and there is
 * FFI (Linux), it is made deaf to new connections before that, and handshakes in progress are waited for; a client that
 * comes meanwhile tries again a second later, and finds the next server or none.
 *
 * libuv accepts at least one connection in every poll phase that finds any (epoll is level-triggered here), so an
 * iteration of the event loop that brings none has seen the queue empty, and the listener is closed in the check phase
 * right behind that poll. Without FFI a connection that completes in these microseconds is lost.
 */
export async function stopAccepting(server: Server, shared: boolean): Promise<void> {
  if (!server.listening) return;
  const fd = shared ? undefined : exclusiveFd(server);
  const isDeaf = fd !== undefined && (await completeHandshakes(server, fd));
  if (!shared) await emptyAcceptQueue(server);
  if (!server.listening) return;
  if (isDeaf && fd === ownListenerFd(server)) takeNewConnections(fd);
  closeListener(server);
}

/**
 * The descriptor, if nobody else can have the listener: this program bound it, and nothing stands between it and the
 * kernel. A supervisor's interception makes a program believe that it bound what another process holds, and a cluster's
 * worker has what its primary bound. To make such a listener deaf would be to take it from others.
 */
function exclusiveFd(server: Server): number | undefined {
  const isSupervised = process.env.RELISTEN_GENERATION !== undefined;
  if (process.platform !== 'linux' || isSupervised || isClusterWorker() || !hasLibc()) return undefined;
  return ownListenerFd(server);
}

/** Not imported: whoever imports it decides how it schedules (NODE_CLUSTER_SCHED_POLICY), and that is the program's to do. */
function isClusterWorker(): boolean {
  return Reflect.get(process.getBuiltinModule('cluster'), 'isWorker') === true;
}

/** @returns whether the listener is deaf now */
async function completeHandshakes(server: Server, fd: number): Promise<boolean> {
  const until = performance.now() + HANDSHAKES_MS;
  const address = server.address();
  if (address === null || typeof address === 'string') return false;
  try {
    dropNewConnections(fd);
  } catch {
    // A kernel or a sandbox that does not let us: then without.
    return false;
  }
  while (server.listening && performance.now() < until && hasHandshakes(address.port)) await pause(LOOK_AGAIN_MS);
  return true;
}

function hasHandshakes(port: number): boolean {
  try {
    return dumpTcp({ localPort: port, states: ['SYN_RECV'] }).length > 0;
  } catch {
    return false;
  }
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
