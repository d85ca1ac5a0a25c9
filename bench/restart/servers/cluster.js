import cluster from 'node:cluster';
import { once } from 'node:events';

/*
 * A primary with two workers, as the manual of node:cluster has it: SIGHUP replaces one worker after the other, each by
 * one that listens before the old one is told to disconnect, and killed if it has not after two seconds. A worker that
 * dies is forked again.
 * The scheduling comes from NODE_CLUSTER_SCHED_POLICY.
 */

const WORKERS = 2;
const DEADLINE_MS = 2_000;

if (cluster.isPrimary) {
  for (let index = 0; index < WORKERS; index++) cluster.fork();
  cluster.on('exit', worker => {
    if (!worker.exitedAfterDisconnect) cluster.fork();
  });
  process.on('SIGHUP', async () => {
    for (const worker of Object.values(cluster.workers ?? {})) {
      await once(cluster.fork(), 'listening');
      worker?.disconnect();
      setTimeout(() => worker?.kill(), DEADLINE_MS);
    }
    console.log('replaced');
  });
} else {
  await import('./express.js');
}
