import { describe, expect, test } from 'vitest';
import { bothFamiliesPort, collide, isOneFamilyOf, listenerKey, slotFor } from '../../src/supervise/match.ts';

describe('a listener is told apart by', () => {
  const any4 = { address: { family: 'IPv4', host: '0.0.0.0', port: 80 }, v6only: false } as const;
  test.each([
    ['its family', { address: { family: 'IPv6', host: '::', port: 80 }, v6only: false }],
    ['its host', { address: { family: 'IPv4', host: '127.0.0.1', port: 80 }, v6only: false }],
    ['its port', { address: { family: 'IPv4', host: '0.0.0.0', port: 81 }, v6only: false }],
    ['its network', { ...any4, netns: 'net:[1]' }],
    ['its kind', { address: { family: 'unix', path: '/80' }, v6only: false }],
  ] as const)('%s', (_, other) => {
    expect(listenerKey(other)).not.toBe(listenerKey(any4));
  });

  test('whether it also serves IPv4', () => {
    const address = { family: 'IPv6', host: '::', port: 80 } as const;
    expect(listenerKey({ address, v6only: true })).not.toBe(listenerKey({ address, v6only: false }));
  });

  test('and not by IPV6_V6ONLY where bind(2) sets it anyway', () => {
    const address = { family: 'IPv6', host: '::1', port: 80 } as const;
    expect(listenerKey({ address, v6only: true })).toBe(listenerKey({ address, v6only: false }));
  });

  test('an abstract name from a path', () => {
    const key = (path: string) => listenerKey({ address: { family: 'unix', path }, v6only: false });
    expect(key('\0app')).not.toBe(key('app'));
  });
});

test.each([
  ['no slots', [], undefined],
  ['one that is free', [false], 0],
  ['one that is taken', [true], undefined],
  ['a group, its first taken', [true, false, false], 1],
  ['a group whose first worker died', [false, true], 0],
])('a bind that meets %s', (_, taken, expected) => {
  expect(slotFor(taken.map(each => ({ taken: each })))).toBe(expected);
});

test.each([
  ['0.0.0.0', false, true],
  ['::', true, true],
  ['127.0.0.1', false, false],
  ['::1', false, false],
])('a port that was named for both families, and a bind of %s (v6only: %s)', (host, v6only, expected) => {
  const wanted = { address: { family: host.includes(':') ? 'IPv6' : 'IPv4', host, port: 80 }, v6only } as const;
  expect(isOneFamilyOf(80, wanted)).toBe(expected);
  expect(isOneFamilyOf(81, wanted)).toBe(false);
  expect(bothFamiliesPort(wanted)).toBeUndefined();
});

test('a listener for both families is known by its port', () => {
  const both = { address: { family: 'IPv6', host: '::', port: 80 }, v6only: false } as const;
  expect(bothFamiliesPort(both)).toBe(80);
  expect(bothFamiliesPort({ ...both, address: { ...both.address, host: '::1' } })).toBeUndefined();
});

test.each([
  ['one that it covers', { address: { family: 'IPv4', host: '127.0.0.1', port: 80 }, v6only: false }, true],
  ['one of both families', { address: { family: 'IPv6', host: '::', port: 80 }, v6only: false }, true],
  ['one of the other family', { address: { family: 'IPv6', host: '::', port: 80 }, v6only: true }, false],
  [
    'one in another network',
    { address: { family: 'IPv4', host: '127.0.0.1', port: 80 }, v6only: false, netns: 'net:[1]' },
    false,
  ],
  ['itself', { address: { family: 'IPv4', host: '0.0.0.0', port: 80 }, v6only: false }, false],
] as const)('whether a listener of 0.0.0.0 collides with %s', (_, other, expected) => {
  expect(collide({ address: { family: 'IPv4', host: '0.0.0.0', port: 80 }, v6only: false }, other)).toBe(expected);
});
