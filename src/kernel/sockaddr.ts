import { isIPv4, isIPv6 } from 'node:net';
import { MAX_UNIX_PATH_BYTES, type SocketAddress } from '../address.ts';
import { invalidArgument } from '../errors.ts';
import { AF_INET, AF_INET6, AF_UNIX } from './constants.ts';
import { call } from './libc.ts';

/** sizeof(struct sockaddr_storage), which holds every address (socket(7)). */
export const SOCKADDR_BYTES = 128;

/** `struct sockaddr_in`, `sockaddr_in6` or `sockaddr_un` (ip(7), ipv6(7), unix(7)) of an address. */
export function encodeSockaddr(address: SocketAddress): Buffer {
  switch (address.family) {
    case 'IPv4': {
      const bytes = Buffer.alloc(16);
      bytes.writeUInt16LE(AF_INET, 0);
      bytes.writeUInt16BE(address.port, 2);
      encodeIPv4(address.host).copy(bytes, 4);
      return bytes;
    }
    case 'IPv6': {
      const bytes = Buffer.alloc(28);
      const [host = '', zone] = address.host.split('%');
      bytes.writeUInt16LE(AF_INET6, 0);
      bytes.writeUInt16BE(address.port, 2);
      encodeIPv6(host).copy(bytes, 8);
      bytes.writeUInt32LE(address.scopeId ?? scopeOf(zone), 24);
      return bytes;
    }
    case 'unix':
      return encodeUnix(address.path);
  }
}

function encodeUnix(path: string): Buffer {
  const name = Buffer.from(path);
  // An abstract name is as long as its length says; a path ends with a NUL byte (unix(7), "Address format").
  const terminator = name[0] === 0 ? 0 : 1;
  if (name.length + terminator > MAX_UNIX_PATH_BYTES + 1) {
    throw invalidArgument('unix path', path, `at most ${MAX_UNIX_PATH_BYTES} bytes, not ${name.length}`);
  }
  const bytes = Buffer.alloc(2 + name.length + terminator);
  bytes.writeUInt16LE(AF_UNIX, 0);
  name.copy(bytes, 2);
  return bytes;
}

/**
 * The address in a sockaddr that the kernel or a program wrote; undefined for other families and for an unnamed unix
 * socket.
 *
 * @param bytes exactly as long as the length that came with it
 */
export function decodeSockaddr(bytes: Buffer): SocketAddress | undefined {
  if (bytes.length < 2) return undefined;
  const family = bytes.readUInt16LE(0);
  if (family === AF_INET && bytes.length >= 8) {
    return { family: 'IPv4', host: decodeIPv4(bytes.subarray(4, 8)), port: bytes.readUInt16BE(2) };
  }
  if (family === AF_INET6 && bytes.length >= 24) {
    const host = decodeIPv6(bytes.subarray(8, 24));
    const port = bytes.readUInt16BE(2);
    const scopeId = bytes.length >= 28 ? bytes.readUInt32LE(24) : 0;
    return scopeId === 0 ? { family: 'IPv6', host, port } : { family: 'IPv6', host, port, scopeId };
  }
  if (family === AF_UNIX && bytes.length > 2) {
    const name = bytes.subarray(2);
    const end = name[0] === 0 ? -1 : name.indexOf(0);
    return { family: 'unix', path: name.subarray(0, end === -1 ? name.length : end).toString() };
  }
  return undefined;
}

function scopeOf(zone: string | undefined): number {
  if (zone === undefined) return 0;
  if (/^\d+$/.test(zone)) return Number(zone);
  const index = call('if_nametoindex', [Buffer.from(`${zone}\0`)]);
  if (index === 0) throw invalidArgument('IPv6 zone', zone, 'the name or number of an interface');
  return index;
}

/** Four bytes in network order. */
export function encodeIPv4(host: string): Buffer {
  if (!isIPv4(host)) throw invalidArgument('IPv4 address', host, 'four numbers from 0 to 255 with dots between');
  return Buffer.from(host.split('.').map(Number));
}

export function decodeIPv4(bytes: Buffer): string {
  return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
}

/** Sixteen bytes in network order, of any text form of RFC 4291 section 2.2. */
export function encodeIPv6(host: string): Buffer {
  if (!isIPv6(host) || host.includes('%')) throw invalidArgument('IPv6 address', host, 'one of RFC 4291, such as ::1');
  const [head = '', tail] = withoutEmbeddedIPv4(host).split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = 8 - left.length - right.length;
  const groups = [...left, ...Array<string>(zeros).fill('0'), ...right];
  return Buffer.from(groups.map(group => group.padStart(4, '0')).join(''), 'hex');
}

/** `::ffff:127.0.0.1` as `::ffff:7f00:0001`. */
function withoutEmbeddedIPv4(host: string): string {
  const match = /^(.*:)(\d+(?:\.\d+){3})$/.exec(host);
  if (!match) return host;
  const hex = encodeIPv4(match[2] ?? '').toString('hex');
  return `${match[1]}${hex.slice(0, 4)}:${hex.slice(4)}`;
}

/** The canonical text of RFC 5952: lower case, the longest run of zero groups as `::`, IPv4-mapped with dots. */
export function decodeIPv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2));
  if (groups[5] === 0xffff && groups.slice(0, 5).every(group => group === 0)) {
    return `::ffff:${decodeIPv4(bytes.subarray(12, 16))}`;
  }
  const text = (part: number[]) => part.map(group => group.toString(16)).join(':');
  const run = longestZeroRun(groups);
  if (run.length < 2) return text(groups);
  return `${text(groups.slice(0, run.start))}::${text(groups.slice(run.start + run.length))}`;
}

function longestZeroRun(groups: number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}
