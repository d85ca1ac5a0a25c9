import { describe, expect, test } from 'vitest';
import { type Address, formatAddress, parseAddress } from '../src/address.ts';
import { RelistenError } from '../src/errors.ts';

/** What people write, and what it means. */
const GOOD: [given: string | number | Address, meant: Address][] = [
  ['0', { port: 0 }],
  ['3000', { port: 3000 }],
  [':3000', { port: 3000 }],
  ['00080', { port: 80 }],
  ['65535', { port: 65535 }],
  [3000, { port: 3000 }],
  ['127.0.0.1:3000', { host: '127.0.0.1', port: 3000 }],
  ['localhost:3000', { host: 'localhost', port: 3000 }],
  ['*:3000', { port: 3000 }],
  ['[::1]:3000', { host: '::1', port: 3000 }],
  ['[::]:3000', { host: '::', port: 3000 }],
  ['[fe80::1%lo]:3000', { host: 'fe80::1%lo', port: 3000 }],
  ['[::ffff:127.0.0.1]:3000', { host: '::ffff:127.0.0.1', port: 3000 }],
  ['/run/app.sock', { path: '/run/app.sock' }],
  ['./app.sock', { path: './app.sock' }],
  ['run/app.sock', { path: 'run/app.sock' }],
  ['unix:/run/app.sock', { path: '/run/app.sock' }],
  ['/run/with:colon', { path: '/run/with:colon' }],
  ['@app', { path: '\0app' }],
  [{ port: 3000 }, { port: 3000 }],
  [
    { port: 3000, host: '::1' },
    { port: 3000, host: '::1' },
  ],
  [{ path: '/run/app.sock' }, { path: '/run/app.sock' }],
  [`/${'x'.repeat(106)}`, { path: `/${'x'.repeat(106)}` }],
  [`@${'x'.repeat(107)}`, { path: `\0${'x'.repeat(107)}` }],
];

/** What nobody can use, and words that the message must have. */
const BAD: [given: unknown, said: string][] = [
  ['', '""'],
  [' ', '" "'],
  ['3000 ', '"3000 "'],
  ['3000x', '"3000x"'],
  ['0x50', '"0x50"'],
  ['1e3', '"1e3"'],
  ['80.5', '"80.5"'],
  ['-1', '"-1"'],
  ['+80', '"+80"'],
  ['65536', '"65536"'],
  ['100000', '"100000"'],
  ['localhost', '"localhost"'],
  ['localhost:', '"localhost:"'],
  [':', '":"'],
  ['::1', '"::1"'],
  ['::1:3000', '"::1:3000"'],
  ['[::1]', '"[::1]"'],
  ['[::1', '"[::1"'],
  ['[]:80', 'an IPv6 address between the brackets'],
  ['[127.0.0.1]:80', 'an IPv6 address between the brackets'],
  ['[1::2::3]:80', 'an IPv6 address between the brackets'],
  ['a b:80', '"a b"'],
  ['http://localhost:3000', 'host:port'],
  ['https://localhost:3000/', 'host:port'],
  ['@', 'not empty'],
  ['/a\0b', 'NUL'],
  [`/${'x'.repeat(107)}`, 'at most 107 bytes, not 108'],
  [`/${'é'.repeat(54)}`, 'at most 107 bytes, not 109'],
  [`@${'x'.repeat(108)}`, 'at most 107 bytes'],
  [Number.NaN, 'NaN'],
  [Number.POSITIVE_INFINITY, 'Infinity'],
  [-1, '-1'],
  [65536, '65536'],
  [80.5, '80.5'],
  [null, 'null'],
  [undefined, 'undefined'],
  [true, 'true'],
  [80n, '80'],
  [{}, 'an object with port or path'],
  [[], 'an object with port or path'],
  [{ host: 'localhost' }, 'an object with port or path'],
  [{ port: '80' }, '"80"'],
  [{ port: -1 }, '-1'],
  [{ port: 80, host: '' }, 'an IP address or a host name'],
  [{ port: 80, host: 'a/b' }, 'an IP address or a host name'],
  [{ port: 80, host: 4 }, 'an IP address or a host name'],
  [{ path: '' }, 'not empty'],
  [{ path: 7 }, 'not empty'],
];

describe('an address', () => {
  test.each(GOOD)('%j means %j', (given, meant) => {
    expect(parseAddress(given)).toEqual(meant);
  });

  test.each(BAD)('%o is refused with what was given or what is accepted', (given, said) => {
    const parse = () => parseAddress(given as string);
    expect(parse).toThrow(RelistenError);
    expect(parse).toThrow(said);
    expect(parse).toThrow(/^Invalid [a-z ]+: .+, expected .+/i);
    expect(parse).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE', op: 'validate' }));
  });

  test.each(GOOD)('%j is read back from its own text', (_given, meant) => {
    expect(parseAddress(formatAddress(meant))).toEqual(meant);
  });

  test.each([
    [{ family: 'IPv4', host: '0.0.0.0', port: 80 }, '0.0.0.0:80'],
    [{ family: 'IPv6', host: '::', port: 80 }, '[::]:80'],
    [{ family: 'IPv6', host: 'fe80::1', port: 80, scopeId: 2 }, '[fe80::1%2]:80'],
    [{ family: 'unix', path: '\0app' }, '@app'],
  ] as const)('of the kernel, %j, is written %s', (address, text) => {
    expect(formatAddress(address)).toBe(text);
  });
});
