import { spawn } from 'node:child_process';
import { parentPort } from 'node:worker_threads';
import { codeOf } from '../kernel/errno.ts';
import { hasLibc } from '../kernel/libc.ts';
import { installFilter } from '../kernel/seccomp.ts';
import type { SpawnMessage, SpawnOrder, SpawnReply } from './spawn.ts';

/*
 * A thread that puts itself under the seccomp filter, spawns one command, which inherits it, and ends. The main thread
 * stays unfiltered, and reaps the child (see reaper.ts), unless it ends while this thread still looks.
 */

type Filter = Partial<ReturnType<typeof installFilter>> & { whyNot?: string };

const port = parentPort;
if (!port) throw new Error('spawn.worker runs as a worker thread only');
const reply = (message: SpawnReply) => port.postMessage(message);

port.on('message', (message: SpawnMessage) => {
  if (message === 'prepare') {
    // Before the order comes, so that a restart does not wait for it; and not before anybody waits for this thread's
    // end, as one that is stopped while it loads koffi aborts the process.
    if (process.platform === 'linux') hasLibc();
    return;
  }
  try {
    if (message !== 'end') run(message);
  } catch (error) {
    reply({ type: 'failed', code: codeOf(error) ?? 'EIO', message: error instanceof Error ? error.message : '' });
  }
  port.unref();
});

/** Not to be had below another supervisor of this kind, for example (EBUSY, seccomp(2)): the command runs without it. */
function tryFilter(): Filter {
  try {
    return installFilter();
  } catch (error) {
    return { whyNot: error instanceof Error ? error.message : String(error) };
  }
}

function run(order: SpawnOrder): void {
  const [file = '', ...args] = order.command;
  const filter = order.intercept ? tryFilter() : undefined;
  if (filter?.whyNot !== undefined) order.env.RELISTEN_INTERCEPT = '0';
  const child = spawn(file, args, {
    cwd: order.cwd,
    env: order.env,
    uid: order.uid,
    gid: order.gid,
    stdio: order.stdio,
    // A session and process group of its own, so that all of it can be signalled, and Ctrl-C reaches relisten alone.
    detached: true,
  });
  child.on('error', error => {
    reply({ type: 'failed', code: codeOf(error) ?? 'EIO', message: error.message, notifyFd: filter?.notifyFd });
  });
  child.on('exit', (code, signal) => reply({ type: 'exited', code, signal }));
  if (child.pid === undefined) return;
  reply({ type: 'spawned', pid: child.pid, ...filter });
  child.unref();
}
