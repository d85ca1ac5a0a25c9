import { getSystemErrorMap } from 'node:util';
import { describe, expect, test } from 'vitest';
import { RelistenError } from '../../src/errors.ts';
import { codeOf, describeErrno, errnoOf, KernelError } from '../../src/kernel/errno.ts';

describe('an errno', () => {
  test.each([
    [98, 'EADDRINUSE', 'address already in use'],
    [13, 'EACCES', 'permission denied'],
    [38, 'ENOSYS', 'function not implemented'],
    [109, 'ETOOMANYREFS', 'too many references: cannot splice'],
    [4242, 'E4242', 'error 4242'],
  ])('%i is %s, %s', (errno, name, meaning) => {
    expect(describeErrno(errno)).toEqual({ name, meaning });
  });

  test('of every name that libuv or relisten has is found again', () => {
    const numbers = [...getSystemErrorMap().keys()].map(number => -number).concat(10, 35, 38, 109, 125);
    for (const number of numbers) expect(errnoOf(describeErrno(number).name)).toBe(number);
  });

  test('of a name that nobody knows is EIO', () => {
    expect(describeErrno(errnoOf('ENOSUCHTHING')).name).toBe('EIO');
  });
});

test('a failed call names itself, its arguments and what its errno means', () => {
  const error = new KernelError('bind', 98, '7, 127.0.0.1:3000');
  expect(error).toBeInstanceOf(RelistenError);
  expect(error.message).toBe('bind(7, 127.0.0.1:3000) failed: address already in use (EADDRINUSE)');
  expect(error).toMatchObject({ code: 'EADDRINUSE', op: 'bind', errno: 98 });
});

test.each([
  [new KernelError('bind', 98, ''), 'EADDRINUSE'],
  [Object.assign(new Error(), { code: 'ENOENT' }), 'ENOENT'],
  [Object.assign(new Error(), { code: 5 }), undefined],
  [new Error(), undefined],
  ['thrown text', undefined],
  [null, undefined],
  [undefined, undefined],
])('the code of %o is %s', (thrown, code) => {
  expect(codeOf(thrown)).toBe(code);
});
