import { expect, test } from 'vitest';
import { backoffMs } from '../../src/supervise/backoff.ts';

test('the first failure is answered at once, whatever the dice say', () => {
  expect(backoffMs(1, () => 0.999)).toBe(0);
});

test('the longest wait doubles from half a second, and stays at half a minute', () => {
  const longest = Array.from({ length: 10 }, (_, index) => backoffMs(index + 1, () => 1));
  expect(longest).toEqual([0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
});

test('the wait is a random share of the whole span', () => {
  expect(backoffMs(4, () => 0)).toBe(0);
  expect(backoffMs(4, () => 0.25)).toBe(500);
});
