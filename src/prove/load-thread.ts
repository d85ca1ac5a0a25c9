import { Worker } from 'node:worker_threads';
import { RelistenError } from '../errors.ts';
import type { Load, LoadOptions, LoadProgress } from './load.ts';
import type { LoadResult, Phase } from './result.ts';

/** What the thread is told. */
export type LoadOrder = { phase: Phase } | { do: 'stop' | 'abort' };

/** What the thread says. */
export type LoadWord = { startedAt: number } | { progress: LoadProgress } | { result: LoadResult };

/**
 * A load on a thread and an event loop of its own, so that what the caller does (spawn, wait, draw) delays no request.
 * Runs from the built package only: a thread has no loader for TypeScript.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`, as `startLoad` does
 */
export async function startLoadThread({ signal, ...options }: LoadOptions): Promise<Load> {
  const worker = new Worker(new URL('./load.worker.js', import.meta.url), { workerData: options });
  const load = new ThreadLoad(worker);
  const startedAt = await load.started;
  const abort = () => worker.postMessage({ do: 'abort' } satisfies LoadOrder);
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort, { once: true });
  return {
    startedAt,
    phase: phase => worker.postMessage({ phase } satisfies LoadOrder),
    progress: () => load.progress,
    stop: () => {
      worker.postMessage({ do: 'stop' } satisfies LoadOrder);
      return load.result;
    },
  };
}

/** What the thread has said so far. */
class ThreadLoad {
  progress: LoadProgress = { at: 0, due: 0, ok: 0, failed: 0, closedWhileIdle: 0, generations: [] };
  readonly started: Promise<number>;
  readonly result: Promise<LoadResult>;

  constructor(worker: Worker) {
    const words = <T>(take: (word: LoadWord) => T | undefined) =>
      new Promise<T>((resolve, reject) => {
        worker.on('message', (word: LoadWord) => {
          const taken = take(word);
          if (taken !== undefined) resolve(taken);
        });
        worker.once('error', error => reject(sameError(error)));
        worker.once('exit', () => reject(new RelistenError('Cannot load: its thread ended', GONE)));
      });
    this.started = words(word => ('startedAt' in word ? word.startedAt : undefined));
    this.result = words(word => ('result' in word ? word.result : undefined));
    // Whoever never stops the load never asks for its result.
    this.result.catch(() => {});
    worker.on('message', (word: LoadWord) => {
      if ('progress' in word) this.progress = word.progress;
    });
  }
}

const GONE = { code: 'ERR_LOAD_THREAD', op: 'load' };

/** An error that crossed a thread has lost its class. */
function sameError(error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || !('op' in error)) return error;
  return new RelistenError(error.message, { code: String(error.code), op: String(error.op), cause: error });
}
