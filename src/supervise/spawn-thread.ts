import { Worker } from 'node:worker_threads';

let early: Worker | undefined;

/** Starts the thread that the first command is spawned from; meanwhile this one may load what it needs itself. */
export function startThreadEarly(): void {
  early ??= startThread();
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
