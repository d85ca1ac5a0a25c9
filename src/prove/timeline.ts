import type { LoadResult, TimelinePoint } from './result.ts';
import { latencyOf, type Samples } from './samples.ts';

const FINEST_MS = 50;
const MOST_POINTS = 400;

/** The interval between two points: as fine as leaves at most {@link MOST_POINTS} of them, in steps people can read. */
export function intervalFor(durationMs: number): number {
  const steps = [FINEST_MS, 100, 200, 500, 1000, 2000, 5000, 10_000];
  return steps.find(step => durationMs / step <= MOST_POINTS) ?? Math.ceil(durationMs / MOST_POINTS);
}

/**
 * What each class saw in each interval of the run.
 *
 * @param failedAt for each class when its failures came
 */
export function timelineOf(
  samples: Samples,
  failedAt: number[][],
  classes: { name: string }[],
  durationMs: number,
): LoadResult['timeline'] {
  const intervalMs = intervalFor(durationMs);
  const count = Math.max(1, Math.ceil(durationMs / intervalMs));
  const slot = (at: number) => Math.min(count - 1, Math.max(0, Math.floor(at / intervalMs)));
  const points: TimelinePoint[][] = [];
  for (const [classIndex, failures] of failedAt.entries()) {
    const latencies: number[][] = Array.from({ length: count }, () => []);
    for (let index = 0; index < samples.length; index += 1) {
      if (samples.classIndex[index] !== classIndex) continue;
      latencies[slot(samples.at[index] ?? 0)]?.push(samples.latency[index] ?? 0);
    }
    const failed = new Array<number>(count).fill(0);
    for (const at of failures) failed[slot(at)] = (failed[slot(at)] ?? 0) + 1;
    points.push(latencies.map((some, index) => pointOf(index * intervalMs, some, failed[index] ?? 0)));
  }
  return {
    intervalMs,
    classes: Object.fromEntries(classes.map(({ name }, index) => [name, points[index] ?? []])),
  };
}

function pointOf(at: number, latencies: number[], failed: number): TimelinePoint {
  const { p50, p99, max } = latencyOf(Float32Array.from(latencies));
  return { at, ok: latencies.length, failed, p50, p99, max };
}
