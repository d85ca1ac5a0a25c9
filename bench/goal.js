/*
 * How every benchmark ends: a line for each number, with the goal that it was set, on stdout; exit code 1 if one is missed.
 */
import { fileURLToPath } from 'node:url';

/** The built package's folder, and the command line program. */
export const DIST = fileURLToPath(new URL('../dist', import.meta.url));
export const RELISTEN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

/**
 * @param {string} what e.g. `importing relisten, over an empty script`
 * @param {number} value
 * @param {string} unit
 * @param {{ atMost?: number, atLeast?: number }} limits
 */
export function goal(what, value, unit, { atMost, atLeast } = {}) {
  const met = (atMost === undefined || value <= atMost) && (atLeast === undefined || value >= atLeast);
  const limit = atMost !== undefined ? `at most ${atMost}` : atLeast !== undefined ? `at least ${atLeast}` : undefined;
  const verdict = limit === undefined ? '' : `  (goal: ${limit} ${unit}: ${met ? 'met' : 'MISSED'})`;
  console.log(`${what}: ${Number(value.toPrecision(3))} ${unit}${verdict}`);
  if (!met) process.exitCode = 1;
}

/** Nearest rank. @param {number[]} values @param {number} share 0.5 for the median */
export function quantile(values, share = 0.5) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
