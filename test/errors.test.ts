import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { invalidArgument, RelistenError } from '../src/errors.ts';
import type { Inspection } from '../src/inspection.ts';

test('an error carries the facts it was given, and no empty ones', () => {
  const cause = new Error('underneath');
  const error = new RelistenError('Cannot listen on 3000: in use', { code: 'EADDRINUSE', op: 'listen', cause });
  expect(error).toMatchObject({ name: 'RelistenError', code: 'EADDRINUSE', op: 'listen', cause });
  expect(String(error)).toBe('RelistenError: Cannot listen on 3000: in use');
  expect(error).toBeInstanceOf(Error);
  expect(Object.keys(error)).not.toContain('address');
  expect('cause' in new RelistenError('x', { code: 'x', op: 'x' })).toBe(false);
});

test('an error that is printed says what to do, and not all that was seen', () => {
  const report = { advice: ['Stop it: relisten free 3000'], listeners: [{ inode: 4711 }] } as unknown as Inspection;
  const error = new RelistenError('Cannot listen', { code: 'EADDRINUSE', op: 'listen', report });
  expect(error.report).toBe(report);
  expect(inspect(error)).toContain('Stop it: relisten free 3000');
  expect(inspect(error)).not.toContain('4711');
});

test.each([
  ['80x', 'Invalid port: "80x", expected a number'],
  [undefined, 'Invalid port: undefined, expected a number'],
  [Symbol('s'), 'Invalid port: Symbol(s), expected a number'],
  [80n, 'Invalid port: 80, expected a number'],
])('an invalid argument %o is shown as it was given', (given, message) => {
  expect(invalidArgument('port', given, 'a number').message).toBe(message);
});
