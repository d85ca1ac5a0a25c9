/** Healthy for this long, and earlier failures are forgotten. */
export const HEALTHY_MS = 60_000;

const BASE_MS = 500;
const CAP_MS = 30_000;

/**
 * How long to wait before a crashed command is started again: the first time not at all, then exponentially with full
 * jitter (a random share of the whole span, so that many servers that fail together do not return together).
 *
 * | failures in a row | 1 | 2       | 3     | 4     | … | 8 and more |
 * |-------------------|---|---------|-------|-------|---|------------|
 * | wait at most      | 0 | 500 ms  | 1 s   | 2 s   | … | 30 s       |
 *
 * @param failures failures in a row, this one included
 * @param random in [0, 1)
 * @returns milliseconds
 */
export function backoffMs(failures: number, random: () => number = Math.random): number {
  if (failures <= 1) return 0;
  return Math.round(random() * Math.min(CAP_MS, BASE_MS * 2 ** (failures - 2)));
}
