import { setTimeout as delay } from 'node:timers/promises';
import type { Load, LoadOptions, LoadProgress } from './load.ts';
import { startLoadThread } from './load-thread.ts';
import type { Proof, RestartRecord } from './proof.ts';
import type { Rehearsal } from './rehearse.ts';
import { withFirstAnswers } from './restarts.ts';
import type { Subject } from './subject.ts';
import { judge } from './verdict.ts';

/** What to prove, and within which bounds. Times in milliseconds. */
export interface ProveOptions {
  subject: Subject;
  /** What the report calls the target. */
  target: string;
  load: LoadOptions;
  leftOut: Rehearsal['leftOut'];
  restarts: number;
  /** How many failed requests are all right. */
  allow: number;
  /** Load before the first restart. */
  warmUpMs: number;
  /** Load after each restart, before the next: half of it counts as `after`, half as `steady`. */
  pauseMs: number;
  /** The load is taken down when this aborts; what was seen until then is reported. */
  signal: AbortSignal;
  /** The version of relisten, for the report. */
  relisten: string;
  /** Called ten times a second, and after each restart. */
  onProgress?: (progress: LoadProgress & { restarts: number }) => void;
}

const PROGRESS_MS = 100;

/**
 * Drives the subject with a load, restarts it again and again, and judges what the clients saw.
 * The subject is left as it is; closing it is the caller's.
 */
export async function prove(options: ProveOptions): Promise<Proof> {
  const { subject, signal } = options;
  const restarts: RestartRecord[] = [];
  const load = await startLoadThread({ ...options.load, signal });
  const tell = () => options.onProgress?.({ ...load.progress(), restarts: restarts.length });
  const progress = setInterval(tell, PROGRESS_MS);
  try {
    await delay(options.warmUpMs, undefined, { signal });
    while (restarts.length < options.restarts) {
      restarts.push(await restartOnce(subject, load, signal));
      tell();
      await delay(options.pauseMs / 2, undefined, { signal });
      load.phase('steady');
      await delay(options.pauseMs / 2, undefined, { signal });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    clearInterval(progress);
  }
  return proofOf(options, load, restarts);
}

async function restartOnce(subject: Subject, load: Load, signal: AbortSignal): Promise<RestartRecord> {
  load.phase('restart');
  const at = since(load);
  const outcome = await subject.restart(signal);
  const endedAt = since(load);
  load.phase('after');
  return { at, endedAt, ...outcome };
}

async function proofOf(options: ProveOptions, load: Load, seen: RestartRecord[]): Promise<Proof> {
  const { subject, target, relisten, leftOut } = options;
  const result = await load.stop();
  const restarts = withFirstAnswers(seen, result.generations);
  return {
    relisten,
    subject: {
      target,
      ...(subject.command === undefined ? {} : { command: subject.command }),
      restart: subject.restartedBy,
    },
    leftOut,
    restarts,
    events: subject.events.map(event => ({ ...event, at: event.at - load.startedAt })),
    load: result,
    verdict: judge({ load: result, restarts, wanted: options.restarts, allow: options.allow }),
  };
}

function since(load: Load): number {
  return Math.round((performance.timeOrigin + performance.now() - load.startedAt) * 10) / 10;
}
