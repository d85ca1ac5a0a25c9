import { isIPv4 } from 'node:net';
import { describe, expect, it } from 'vitest';
import { type LocalAddress, overlaps } from '../../src/bind/overlap.ts';

/** `host`, with ` only` behind it for IPV6_V6ONLY. */
function local(text: string, port = 80): LocalAddress {
  const [host = '', only] = text.split(' ');
  return { address: { family: isIPv4(host) ? 'IPv4' : 'IPv6', host, port }, v6only: only === 'only' };
}

describe('overlaps', () => {
  it.each<[string, string, boolean]>([
    ['0.0.0.0', '127.0.0.1', true],
    ['0.0.0.0', '0.0.0.0', true],
    ['127.0.0.1', '127.0.0.1', true],
    ['127.0.0.1', '127.0.0.2', false],
    ['::', '0.0.0.0', true],
    ['::', '127.0.0.1', true],
    ['::', '::1', true],
    [':: only', '0.0.0.0', false],
    [':: only', '127.0.0.1', false],
    [':: only', '::', true],
    [':: only', '::1', true],
    ['::1', '127.0.0.1', false],
    ['::1', '0.0.0.0', false],
    ['::1', '::1', true],
    ['::ffff:127.0.0.1', '127.0.0.1', true],
    ['::ffff:127.0.0.1', '0.0.0.0', true],
    ['::ffff:127.0.0.1', '127.0.0.2', false],
    ['::ffff:127.0.0.1', '::', true],
    ['::ffff:127.0.0.1', ':: only', false],
    ['fe80::1%2', 'fe80::1%2', true],
    ['fe80::1%2', 'fe80::1%3', false],
    ['FE80::A%2', 'fe80::a%2', true],
  ])('%s and %s: %s', (one, other, expected) => {
    expect(overlaps(local(one), local(other))).toBe(expected);
    expect(overlaps(local(other), local(one))).toBe(expected);
  });

  it('is false for other ports, and for unix paths', () => {
    expect(overlaps(local('0.0.0.0', 80), local('0.0.0.0', 81))).toBe(false);
    const unix: LocalAddress = { address: { family: 'unix', path: '/run/app.sock' } };
    expect(overlaps(unix, unix)).toBe(false);
  });
});
