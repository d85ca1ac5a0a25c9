import { expect, test } from 'vitest';
import { Arrivals, countedFrom } from '../../src/prove/arrivals.ts';
import { gapOf, latencyOf, Samples } from '../../src/prove/samples.ts';
import { intervalFor, timelineOf } from '../../src/prove/timeline.ts';

test('percentiles are exact, by nearest rank', () => {
  const hundred = Float32Array.from({ length: 100 }, (_, index) => 100 - index);
  expect(latencyOf(hundred)).toEqual({ p50: 50, p90: 90, p99: 99, max: 100 });
  expect(latencyOf(Float32Array.of(7))).toEqual({ p50: 7, p90: 7, p99: 7, max: 7 });
  expect(latencyOf(new Float32Array())).toEqual({ p50: 0, p90: 0, p99: 0, max: 0 });
});

test('samples beyond the first block are kept', () => {
  const samples = new Samples();
  for (let index = 0; index < 5000; index += 1) samples.add(index, index / 2, index % 3, 0);
  expect(samples.latencies(index => samples.classIndex[index] === 1).length).toBe(1667);
  expect(samples.at[4999]).toBe(4999);
});

test('the longest gap counts from the start, between answers, and to the end', () => {
  const samples = new Samples();
  const gap = (durationMs: number) => gapOf(samples, durationMs, () => true);
  expect(gap(50)).toEqual({ ms: 50, at: 0 });
  samples.add(10, 1, 0, 0);
  samples.add(35, 1, 0, 0);
  expect(gap(50)).toEqual({ ms: 25, at: 10 });
  expect(gap(100)).toEqual({ ms: 65, at: 35 });
  samples.add(500, 1, 0, 0);
  // The answer to the last arrival may come after the end; no request was due then.
  expect(gap(100)).toEqual({ ms: 65, at: 35 });
});

test('arrivals keep their rate to the second, each at a random place within its own interval', () => {
  const arrivals = new Arrivals(50);
  const due = Array.from({ length: 500 }, () => arrivals.take());
  due.forEach((at, index) => {
    expect(at).toBeGreaterThanOrEqual(index * 20);
    expect(at).toBeLessThan((index + 1) * 20);
  });
});

test.each([
  [100, 100.4, 100.4],
  [100, 102, 102],
  [100, 103, 100],
  [100, 900, 100],
])('due at %d and taken up at %d, latency counts from %d', (due, taken, from) => {
  expect(countedFrom(due, taken)).toBe(from);
});

test('the timeline has one point an interval, with what was answered and lost in it', () => {
  const samples = new Samples();
  samples.add(10, 5, 0, 0);
  samples.add(60, 7, 0, 0);
  samples.add(70, 9, 1, 0);
  const timeline = timelineOf(samples, [[55, 56], []], [{ name: 'a' }, { name: 'b' }], 100);
  expect(timeline.intervalMs).toBe(50);
  expect(timeline.classes.a).toMatchObject([
    { at: 0, ok: 1, failed: 0, max: 5 },
    { at: 50, ok: 1, failed: 2, max: 7 },
  ]);
  expect(timeline.classes.b).toMatchObject([{ ok: 0 }, { ok: 1, p50: 9 }]);
  expect([1000, 60_000, 600_000].map(intervalFor)).toEqual([50, 200, 2000]);
});
