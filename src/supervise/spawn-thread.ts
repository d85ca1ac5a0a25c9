import { Worker } from 'node:worker_threads';
import type { SpawnMessage } from './spawn.ts';

let early: Worker | undefined;

/** Starts the thread that the first command is spawned from; meanwhile this one may load what it needs itself. */
export function startThreadEarly(): void {
  early ??= startThread();
}

/** Has it load what it needs, too: from here on it must not be left alone, see {@link endEarlyThread}. */
export function prepareEarlyThread(): void {
  early?.postMessage('prepare' satisfies SpawnMessage);
}

/** Ends the thread that was started early, where nobody has taken it. */
export async function endEarlyThread(): Promise<void> {
  const thread = early;
  early = undefined;
  if (thread) await endThread(thread);
}

/** Not terminate(): a thread that is stopped while it loads koffi aborts the process. */
export async function endThread(thread: Worker): Promise<void> {
  const ended = new Promise(fulfil => thread.once('exit', fulfil));
  thread.ref();
  thread.postMessage('end' satisfies SpawnMessage);
  await ended;
}

/** A thread that spawns one command; see spawn.worker.ts. It keeps nothing alive. */
export function takeThread(): Worker {
  const worker = early ?? startThread();
  early = undefined;
  return worker;
}

function startThread(): Worker {
  const worker = new Worker(new URL('./spawn.worker.js', import.meta.url), {
    // It spawns one process: small heaps keep relisten small.
    resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 32 },
  });
  worker.on('error', () => {}); // told to whoever spawns; exit follows
  worker.unref();
  return worker;
}
