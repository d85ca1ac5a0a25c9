import { invalidArgument } from '../errors.ts';

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Commander's parser of an option's argument; an error names the option. */
export function durationOf(option: string): (given: string) => number {
  return given => parseDuration(given, option);
}

/**
 * Milliseconds of `500ms`, `1.5s`, `30` (seconds), `2m` or `1h`.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`
 */
export function parseDuration(given: string, what = 'duration'): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(given);
  const ms = match ? Number(match[1]) * (UNITS[match[2] ?? 's'] ?? 1000) : Number.NaN;
  // setTimeout(3) of Node takes 32 bits; a longer wait would end at once.
  if (ms <= 2 ** 31 - 1) return Math.round(ms);
  throw invalidArgument(what, given, 'a number with ms, s, m or h, such as 500ms or 30s, up to 24 days');
}

/** Milliseconds as people say them: `85 ms`, `1.2 s`, `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return pair(Math.floor(whole / 60), 'min', whole % 60, 's');
  const minutes = Math.round(whole / 60);
  if (minutes < 1440) return pair(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  return pair(Math.floor(minutes / 1440), 'd', Math.floor((minutes % 1440) / 60), 'h');
}

function pair(big: number, bigUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${big} ${bigUnit}` : `${big} ${bigUnit} ${small} ${smallUnit}`;
}
