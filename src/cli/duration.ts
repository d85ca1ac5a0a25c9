import { invalidArgument } from '../errors.ts';

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/**
 * Milliseconds of `500ms`, `1.5s`, `30` (seconds), `2m` or `1h`; as commander's parser of an option's argument.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`
 */
export function parseDuration(given: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(given);
  const ms = match ? Number(match[1]) * (UNITS[match[2] ?? 's'] ?? 1000) : Number.NaN;
  // setTimeout(3) of Node takes 32 bits; a longer wait would end at once.
  if (ms <= 2 ** 31 - 1) return Math.round(ms);
  throw invalidArgument('duration', given, 'a number with ms, s, m or h, such as 500ms or 30s, up to 24 days');
}
