import { SocketAddress as NodeSocketAddress } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { SocketAddress } from '../../src/address.ts';
import { RelistenError } from '../../src/errors.ts';
import {
  decodeIPv6,
  decodeSockaddr,
  encodeIPv4,
  encodeIPv6,
  encodeSockaddr,
  SOCKADDR_BYTES,
} from '../../src/kernel/sockaddr.ts';
import { random } from '../fixtures/random.ts';

const ZEROS = '00'.repeat(8);
const LINK_LOCAL = 'fe80000000000000'.concat('0000000000000001');

/** Struct for struct: sockaddr_in (ip(7)), sockaddr_in6 (ipv6(7)), sockaddr_un (unix(7)). */
const TABLE: [name: string, address: SocketAddress, hex: string][] = [
  ['IPv4', { family: 'IPv4', host: '127.0.0.1', port: 3000 }, `02000bb87f000001${ZEROS}`],
  ['the IPv4 wildcard', { family: 'IPv4', host: '0.0.0.0', port: 0 }, `0200000000000000${ZEROS}`],
  ['the last IPv4 port', { family: 'IPv4', host: '255.255.255.255', port: 65535 }, `0200ffffffffffff${ZEROS}`],
  ['IPv6', { family: 'IPv6', host: '::1', port: 80 }, `0a00005000000000${'00'.repeat(15)}0100000000`],
  ['the IPv6 wildcard', { family: 'IPv6', host: '::', port: 80 }, `0a00005000000000${'00'.repeat(16)}00000000`],
  [
    'IPv6 with a zone',
    { family: 'IPv6', host: 'fe80::1', port: 80, scopeId: 3 },
    `0a00005000000000${LINK_LOCAL}03000000`,
  ],
  [
    'IPv4 mapped into IPv6',
    { family: 'IPv6', host: '::ffff:127.0.0.1', port: 80 },
    `0a00005000000000${'00'.repeat(10)}ffff7f00000100000000`,
  ],
  ['a unix path', { family: 'unix', path: '/a' }, '01002f6100'],
  ['a unix path of UTF-8', { family: 'unix', path: '/é' }, '01002fc3a900'],
  ['an abstract name', { family: 'unix', path: '\0a' }, '01000061'],
  ['an abstract name with a NUL byte inside', { family: 'unix', path: '\0a\0b' }, '010000610062'],
];

describe('a sockaddr', () => {
  test.each(TABLE)('of %s has the bytes of its struct', (_name, address, hex) => {
    expect(encodeSockaddr(address).toString('hex')).toBe(hex);
  });

  test.each(TABLE)('of %s is read back', (_name, address, hex) => {
    expect(decodeSockaddr(Buffer.from(hex, 'hex'))).toEqual(address);
  });

  test('of a unix path ends at its first NUL byte, as the kernel pads it', () => {
    expect(decodeSockaddr(Buffer.from('01002f61000000', 'hex'))).toEqual({ family: 'unix', path: '/a' });
  });

  test('of a unix path may fill the struct without a NUL byte (unix(7), BUGS)', () => {
    const path = `/${'x'.repeat(107)}`;
    const bytes = Buffer.concat([Buffer.from([1, 0]), Buffer.from(path)]);
    expect(decodeSockaddr(bytes)).toEqual({ family: 'unix', path });
  });

  test.each([
    ['nothing', ''],
    ['half a family', '02'],
    ['an unnamed unix socket', '0100'],
    ['an IPv4 address cut short', '02000bb87f'],
    ['an IPv6 address cut short', '0a000050000000000000'],
    ['netlink', '100000000000000000000000'],
  ])('of %s is undefined', (_name, hex) => {
    expect(decodeSockaddr(Buffer.from(hex, 'hex'))).toBeUndefined();
  });

  test('takes a zone by name or number, and refuses one that is no interface', () => {
    const scope = (host: string) => encodeSockaddr({ family: 'IPv6', host, port: 1 }).readUInt32LE(24);
    expect(scope('fe80::1%7')).toBe(7);
    expect(scope('fe80::1%lo')).toBe(1);
    expect(() => scope('fe80::1%nowhere0')).toThrow('Invalid IPv6 zone: "nowhere0"');
  });

  test('is read back from any random address', () => {
    const next = random(1);
    for (let round = 0; round < 2000; round++) {
      const address = randomAddress(next);
      const bytes = encodeSockaddr(address);
      expect(bytes.length).toBeLessThanOrEqual(SOCKADDR_BYTES);
      expect(decodeSockaddr(bytes)).toEqual(address);
    }
  });

  test('of random bytes is an address or undefined, and never throws', () => {
    const next = random(2);
    for (let round = 0; round < 5000; round++) {
      const bytes = Buffer.from(Array.from({ length: next(SOCKADDR_BYTES) }, () => next(256)));
      if (bytes.length > 1) bytes.writeUInt16LE([1, 2, 10, next(20)][next(4)] ?? 0);
      const address = decodeSockaddr(bytes);
      if (address !== undefined) expect(['IPv4', 'IPv6', 'unix']).toContain(address.family);
    }
  });
});

function randomAddress(next: (below: number) => number): SocketAddress {
  const port = next(65536);
  const kind = next(4);
  if (kind === 0) return { family: 'IPv4', host: `${next(256)}.${next(256)}.${next(256)}.${next(256)}`, port };
  if (kind === 1) return { family: 'IPv6', host: decodeIPv6(randomIPv6(next)), port };
  if (kind === 2) return { family: 'IPv6', host: decodeIPv6(randomIPv6(next)), port, scopeId: 1 + next(1000) };
  const start = next(2) === 0 ? '\0' : '/';
  const name = Array.from({ length: 1 + next(106) }, () => String.fromCharCode(33 + next(94))).join('');
  return { family: 'unix', path: start + name };
}

/** Many zero groups, as real addresses have them. */
function randomIPv6(next: (below: number) => number): Buffer {
  const bytes = Buffer.alloc(16);
  for (let group = 0; group < 8; group++) if (next(2) === 0) bytes.writeUInt16BE(next(65536), group * 2);
  return bytes;
}

describe('an IPv6 address', () => {
  test.each([
    ['::', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['1::', '1::'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::ffff:1.2.3.4', '::ffff:1.2.3.4'],
    ['::ffff:102:304', '::ffff:1.2.3.4'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ])('%s is %s in the canonical text of RFC 5952', (text, canonical) => {
    expect(decodeIPv6(encodeIPv6(text))).toBe(canonical);
  });

  test('reads like the one that Node makes of it', () => {
    const next = random(3);
    for (let round = 0; round < 2000; round++) {
      const bytes = randomIPv6(next);
      bytes[0] = 0x20; // Node writes the deprecated ::1.2.3.4 with dots; RFC 5952 does not ask for it.
      const text = decodeIPv6(bytes);
      expect(
        new NodeSocketAddress({ address: bytes.toString('hex').match(/.{4}/g)?.join(':'), family: 'ipv6' }).address,
      ).toBe(text);
      expect(encodeIPv6(text)).toEqual(bytes);
    }
  });

  test.each([
    '',
    ':',
    ':::',
    '1::2::3',
    '1:2:3',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '12345::',
    'g::',
    '::1%lo',
    '::1.2.3',
    '::1.2.3.256',
    '1.2.3.4',
    ' ::1',
  ])('%j is refused', text => {
    expect(() => encodeIPv6(text)).toThrow(RelistenError);
  });
});

test.each(['', '1.2.3', '1.2.3.256', '1.2.3.4.5', 'a.b.c.d', '::1', ' 1.2.3.4'])(
  'the IPv4 address %j is refused',
  text => {
    expect(() => encodeIPv4(text)).toThrow('Invalid IPv4 address');
  },
);

test('a unix path that does not fit is refused with its length', () => {
  const encode = (path: string) => encodeSockaddr({ family: 'unix', path });
  expect(encode(`/${'x'.repeat(106)}`).length).toBe(110);
  expect(encode(`\0${'x'.repeat(107)}`).length).toBe(110);
  expect(() => encode(`/${'x'.repeat(107)}`)).toThrow('at most 107 bytes, not 108');
  expect(() => encode(`\0${'x'.repeat(108)}`)).toThrow('not 109');
});
