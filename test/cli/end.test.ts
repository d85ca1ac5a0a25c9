import { expect, test } from 'vitest';
import { type EndOrder, endOf } from '../../src/cli/end.ts';

test.each<[order: EndOrder | undefined, code: number, stopSignal: NodeJS.Signals, end: EndOrder | number]>([
  ['SIGINT', 0, 'SIGTERM', 'SIGINT'],
  ['SIGINT', 143, 'SIGTERM', 'SIGINT'],
  ['SIGINT', 130, 'SIGINT', 'SIGINT'],
  ['SIGINT', 137, 'SIGTERM', 'SIGINT'],
  ['SIGINT', 1, 'SIGTERM', 1],
  ['SIGINT', 127, 'SIGTERM', 127],
  ['SIGTERM', 143, 'SIGTERM', 'SIGTERM'],
  ['SIGTERM', 143, 'SIGQUIT', 'SIGTERM'],
  ['SIGTERM', 130, 'SIGINT', 'SIGTERM'],
  ['SIGTERM', 130, 'SIGTERM', 130],
  ['SIGTERM', 0, 'SIGTERM', 0],
  ['SIGTERM', 137, 'SIGTERM', 137],
  ['request', 143, 'SIGTERM', 0],
  ['request', 131, 'SIGQUIT', 0],
  ['request', 137, 'SIGTERM', 137],
  ['request', 9, 'SIGTERM', 9],
  [undefined, 143, 'SIGTERM', 143],
  [undefined, 0, 'SIGTERM', 0],
])('told by %s, with a command that ended with %i and a stop signal of %s: %s', (order, code, stopSignal, end) => {
  expect(endOf(code, order, stopSignal)).toBe(end);
});
