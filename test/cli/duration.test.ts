import { describe, expect, it } from 'vitest';
import { parseDuration } from '../../src/cli/duration.ts';

describe('parseDuration', () => {
  it.each([
    ['500ms', 500],
    ['1.5s', 1500],
    ['30', 30_000],
    ['2m', 120_000],
    ['1h', 3_600_000],
    ['0', 0],
  ])('reads %s as %d ms', (given, ms) => {
    expect(parseDuration(given)).toBe(ms);
  });

  it.each(['', 'soon', '-1s', '1 s', '1d', '25h30m', '1e3', '9999h', 'NaN'])(
    'refuses %j and says what it accepts',
    given => {
      expect(() => parseDuration(given)).toThrow(/Invalid duration: .*expected a number with ms, s, m or h/);
    },
  );
});
