import { expect, test } from 'vitest';
import { invalidArgument, RelistenError } from '../src/errors.ts';

test('an error carries the facts it was given, and no empty ones', () => {
  const cause = new Error('underneath');
  const error = new RelistenError('Cannot listen on 3000: in use', { code: 'EADDRINUSE', op: 'listen', cause });
  expect(error).toMatchObject({ name: 'RelistenError', code: 'EADDRINUSE', op: 'listen', cause });
  expect(String(error)).toBe('RelistenError: Cannot listen on 3000: in use');
  expect(error).toBeInstanceOf(Error);
  expect(Object.keys(error)).not.toContain('address');
  expect('cause' in new RelistenError('x', { code: 'x', op: 'x' })).toBe(false);
});

test.each([
  ['80x', 'Invalid port: "80x", expected a number'],
  [undefined, 'Invalid port: undefined, expected a number'],
  [Symbol('s'), 'Invalid port: Symbol(s), expected a number'],
  [80n, 'Invalid port: 80, expected a number'],
])('an invalid argument %o is shown as it was given', (given, message) => {
  expect(invalidArgument('port', given, 'a number').message).toBe(message);
});
