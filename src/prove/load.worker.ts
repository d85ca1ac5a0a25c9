import { parentPort, workerData } from 'node:worker_threads';
import { type LoadOptions, startLoad } from './load.ts';
import type { LoadOrder, LoadWord } from './load-thread.ts';

/** How often the thread says how it fares. */
const PROGRESS_MS = 100;

const cut = new AbortController();
const load = startLoad({ ...(workerData as LoadOptions), signal: cut.signal });
const say = (word: LoadWord) => parentPort?.postMessage(word);
const progress = setInterval(() => say({ progress: load.progress() }), PROGRESS_MS);

parentPort?.on('message', (order: LoadOrder) => {
  if ('phase' in order) load.phase(order.phase);
  else if (order.do === 'abort') cut.abort();
  else void stop();
});
say({ startedAt: load.startedAt });

async function stop(): Promise<void> {
  const result = await load.stop();
  clearInterval(progress);
  say({ result });
  parentPort?.close();
}
