import { formatAddress, type SocketAddress } from '../address.ts';
import * as C from './constants.ts';
import { call } from './libc.ts';
import { decodeSockaddr, encodeSockaddr, SOCKADDR_BYTES } from './sockaddr.ts';

/*
 * socket(2) and what belongs to it, in the order in which a server calls them. Every fd that is returned is CLOEXEC and
 * the caller's to close.
 */

export type SocketDomain = SocketAddress['family'];

const DOMAINS: Record<SocketDomain, number> = { unix: C.AF_UNIX, IPv4: C.AF_INET, IPv6: C.AF_INET6 };

/** A new stream socket. */
export function socket(domain: SocketDomain, options: { nonblocking?: boolean } = {}): number {
  const type = C.SOCK_STREAM | C.SOCK_CLOEXEC | (options.nonblocking ? C.SOCK_NONBLOCK : 0);
  return call('socket', [DOMAINS[domain], type, 0], `${domain}, SOCK_STREAM`);
}

/** The integer options that relisten reads or sets, by the kernel's name (socket(7), ip(7), ipv6(7)). */
const OPTIONS = {
  SO_REUSEADDR: [C.SOL_SOCKET, C.SO_REUSEADDR],
  SO_REUSEPORT: [C.SOL_SOCKET, C.SO_REUSEPORT],
  SO_TYPE: [C.SOL_SOCKET, C.SO_TYPE],
  SO_ERROR: [C.SOL_SOCKET, C.SO_ERROR],
  SO_ACCEPTCONN: [C.SOL_SOCKET, C.SO_ACCEPTCONN],
  SO_DOMAIN: [C.SOL_SOCKET, C.SO_DOMAIN],
  SO_PROTOCOL: [C.SOL_SOCKET, C.SO_PROTOCOL],
  SO_BINDTOIFINDEX: [C.SOL_SOCKET, C.SO_BINDTOIFINDEX],
  IPV6_V6ONLY: [C.IPPROTO_IPV6, C.IPV6_V6ONLY],
  IPV6_MINHOPCOUNT: [C.IPPROTO_IPV6, C.IPV6_MINHOPCOUNT],
  IP_MINTTL: [C.IPPROTO_IP, C.IP_MINTTL],
} as const;

export type SocketOption = keyof typeof OPTIONS;

export function setOption(fd: number, option: SocketOption, value: number): void {
  const [level, name] = OPTIONS[option];
  call('setsockopt', [fd, level, name, Int32Array.of(value), 4], `${fd}, ${option}, ${value}`);
}

export function getOption(fd: number, option: SocketOption): number {
  const [level, name] = OPTIONS[option];
  const value = Buffer.alloc(4);
  call('getsockopt', [fd, level, name, value, Uint32Array.of(4)], `${fd}, ${option}`);
  return value.readInt32LE(0);
}

/** Makes close(2) send a reset and keep nothing, not even TIME_WAIT (socket(7), SO_LINGER with 0 seconds). */
export function resetOnClose(fd: number): void {
  call('setsockopt', [fd, C.SOL_SOCKET, C.SO_LINGER, Int32Array.of(1, 0), 8], `${fd}, SO_LINGER, 1, 0`);
}

/** Who made the other end of a unix socket, as of connect(2) or listen(2) (SO_PEERCRED, unix(7)). */
export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } {
  const value = Buffer.alloc(12);
  call('getsockopt', [fd, C.SOL_SOCKET, C.SO_PEERCRED, value, Uint32Array.of(12)], `${fd}, SO_PEERCRED`);
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}

export function bind(fd: number, address: SocketAddress): void {
  const bytes = encodeSockaddr(address);
  call('bind', [fd, bytes, bytes.length], `${fd}, ${formatAddress(address)}`);
}

/** Makes it a listener. The kernel caps the backlog at net.core.somaxconn without a word (listen(2)). */
export function listen(fd: number, backlog: number): void {
  call('listen', [fd, backlog]);
}

/** A TCP socket that is non-blocking answers EINPROGRESS; a unix socket connects at once, or EAGAIN. */
export function connect(fd: number, address: SocketAddress): void {
  const bytes = encodeSockaddr(address);
  call('connect', [fd, bytes, bytes.length], `${fd}, ${formatAddress(address)}`);
}

/** Makes a TCP socket as it was when it was bound (connect(2), AF_UNSPEC): what was shut down is so no more. */
export function disconnect(fd: number): void {
  const unspecified = Buffer.alloc(16);
  call('connect', [fd, unspecified, unspecified.length], `${fd}, AF_UNSPEC`);
}

/** Takes a waiting connection; EAGAIN where none waits and the listener is non-blocking. */
export function accept(fd: number): number {
  return call('accept4', [fd, null, null, C.SOCK_CLOEXEC], `${fd}`);
}

/** Local address; undefined for a socket that has none (unnamed unix, other families). */
export function localAddress(fd: number): SocketAddress | undefined {
  return nameOf('getsockname', fd);
}

/** The other end's address; ENOTCONN where there is none. */
export function peerAddress(fd: number): SocketAddress | undefined {
  return nameOf('getpeername', fd);
}

function nameOf(which: 'getsockname' | 'getpeername', fd: number): SocketAddress | undefined {
  const bytes = Buffer.alloc(SOCKADDR_BYTES);
  const length = Uint32Array.of(bytes.length);
  call(which, [fd, bytes, length], `${fd}`);
  return decodeSockaddr(bytes.subarray(0, length[0]));
}

const HOW = { read: 0, write: 1, both: 2 } as const;

export function shutdown(fd: number, how: keyof typeof HOW): void {
  call('shutdown', [fd, HOW[how]], `${fd}, ${how}`);
}

/** What a descriptor is, as far as the owner of a listener must know. */
export interface SocketKind {
  /** Undefined for families that relisten does not handle. */
  domain: SocketDomain | undefined;
  stream: boolean;
  listening: boolean;
  reuseport: boolean;
  /** Only ever true for IPv6. */
  v6only: boolean;
}

/** Undefined when the fd is not a socket, or not open. */
export function describeSocket(fd: number): SocketKind | undefined {
  let number: number;
  try {
    number = getOption(fd, 'SO_DOMAIN');
  } catch {
    return undefined;
  }
  const domain = (Object.keys(DOMAINS) as SocketDomain[]).find(key => DOMAINS[key] === number);
  return {
    domain,
    stream: getOption(fd, 'SO_TYPE') === C.SOCK_STREAM,
    listening: getOption(fd, 'SO_ACCEPTCONN') === 1,
    reuseport: (domain === 'IPv4' || domain === 'IPv6') && getOption(fd, 'SO_REUSEPORT') !== 0,
    v6only: domain === 'IPv6' && getOption(fd, 'IPV6_V6ONLY') !== 0,
  };
}
