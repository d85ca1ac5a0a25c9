import { describe, expect, test } from 'vitest';
import {
  type GenerationState,
  isAlive,
  isFailedFirstStart,
  mayBecome,
  meaningOfExit,
} from '../../src/supervise/generation.ts';

const STATES: GenerationState[] = ['starting', 'ready', 'yielding', 'draining', 'exited', 'failed'];

test('a generation moves only forward, and nothing follows its end', () => {
  const allowed = STATES.flatMap(from => STATES.filter(to => mayBecome(from, to)).map(to => `${from} → ${to}`));
  expect(allowed).toEqual([
    'starting → ready',
    'starting → failed',
    'ready → yielding',
    'ready → draining',
    'ready → exited',
    'yielding → draining',
    'yielding → exited',
    'draining → exited',
  ]);
});

test('a generation that exited or failed is not alive', () => {
  expect(STATES.filter(isAlive)).toEqual(['starting', 'ready', 'yielding', 'draining']);
});

describe('the end of a main process', () => {
  test.each([
    ['starting', { code: 0, signal: null }, false, 'done'],
    ['starting', { code: 0, signal: null }, true, 'failed-start'],
    ['starting', { code: 1, signal: null }, false, 'failed-start'],
    ['starting', { code: null, signal: 'SIGSEGV' }, true, 'failed-start'],
    ['ready', { code: 0, signal: null }, true, 'done'],
    ['ready', { code: 3, signal: null }, true, 'crash'],
    ['ready', { code: null, signal: 'SIGKILL' }, true, 'crash'],
    ['yielding', { code: 0, signal: null }, true, 'over'],
    ['yielding', { code: null, signal: 'SIGKILL' }, false, 'over'],
    ['draining', { code: 0, signal: null }, true, 'over'],
    ['draining', { code: null, signal: 'SIGTERM' }, true, 'over'],
    ['failed', { code: 1, signal: null }, false, 'over'],
  ] as const)('in state %s with %o, another serving %s, means %s', (state, exit, anotherServes, meaning) => {
    expect(meaningOfExit(state, exit, anotherServes)).toBe(meaning);
  });
});

test.each([
  [{ code: 1, signal: null }, 999, true],
  [{ code: 1, signal: null }, 1_000, false],
  [{ code: null, signal: 'SIGKILL' }, 1, false],
] as const)(
  'the first generation that was ready, and ended with %j after %d ms: did its start fail? %s',
  (exit, readyMs, failed) => {
    expect(isFailedFirstStart(exit, readyMs)).toBe(failed);
  },
);
