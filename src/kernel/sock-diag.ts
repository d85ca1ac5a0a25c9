import type { SocketAddress } from '../address.ts';
import type { SocketState } from '../inspection.ts';
import * as C from './constants.ts';
import { codeOf, KernelError } from './errno.ts';
import { decodeAttributes, dump, encodeAttribute, submit } from './netlink.ts';
import { decodeIPv4, decodeIPv6 } from './sockaddr.ts';
import { stateOf, type TcpSocket } from './tcp-socket.ts';

/*
 * The kernel's TCP sockets over NETLINK_SOCK_DIAG (sock_diag(7), include/uapi/linux/inet_diag.h): what /proc/net/tcp
 * shows, but filtered by port in the kernel, and with what it takes to destroy one.
 */

const NETLINK_SOCK_DIAG = 4;
const TCPDIAG_GETSOCK = 18;
const SOCK_DESTROY = 21;

/** TCP_BOUND_INACTIVE is no state but a bit of the request: sockets that are bound and no more (Linux 6.8). */
const TCP_BOUND_INACTIVE = 13;
const ALL_STATES = 0x1fff | (1 << TCP_BOUND_INACTIVE);

const BYTECODE = 1; // INET_DIAG_REQ_BYTECODE
const SKV6ONLY = 11; // INET_DIAG_SKV6ONLY, which the kernel gives for LISTEN and CLOSE (Linux 4.3)
const TIMER_TIMEWAIT = 3; // idiag_timer
const S_EQ = 11; // INET_DIAG_BC_S_EQ and D_EQ, Linux 4.16
const D_EQ = 12;

const COMPAT_REQUEST_BYTES = 60; // struct inet_diag_req
const REQUEST_BYTES = 56; // struct inet_diag_req_v2
const MESSAGE_BYTES = 72; // struct inet_diag_msg
const ID_BYTES = 48; // struct inet_diag_sockid

/** One TCP socket of the network namespace that the caller is in, decoded as it is asked. */
export class DiagSocket implements TcpSocket {
  readonly #bytes: Buffer;
  readonly #offset: number;
  readonly #end: number;

  /** @param bytes hold a `struct inet_diag_msg` and its attributes from `offset` to `end`; they must not change */
  constructor(bytes: Buffer, offset: number, end: number) {
    this.#bytes = bytes;
    this.#offset = offset;
    this.#end = end;
  }

  get family(): 'IPv4' | 'IPv6' {
    return this.#bytes[this.#offset] === C.AF_INET6 ? 'IPv6' : 'IPv4';
  }

  get state(): SocketState {
    return stateOf(this.#bytes[this.#offset + 1] ?? 0);
  }

  get localPort(): number {
    return this.#bytes.readUInt16BE(this.#offset + 4);
  }

  get peerPort(): number {
    return this.#bytes.readUInt16BE(this.#offset + 6);
  }

  get local(): SocketAddress {
    return this.#address(8, this.localPort);
  }

  get peer(): SocketAddress | undefined {
    return this.peerPort === 0 ? undefined : this.#address(24, this.peerPort);
  }

  get remainingMs(): number | undefined {
    return this.#bytes[this.#offset + 2] === TIMER_TIMEWAIT ? this.#bytes.readUInt32LE(this.#offset + 52) : undefined;
  }

  get uid(): number {
    return this.#bytes.readUInt32LE(this.#offset + 64);
  }

  get inode(): number {
    return this.#bytes.readUInt32LE(this.#offset + 68);
  }

  get v6only(): boolean | undefined {
    if (this.family === 'IPv4' || (this.state !== 'LISTEN' && this.state !== 'CLOSE')) return undefined;
    const value = decodeAttributes(this.#bytes.subarray(this.#offset + MESSAGE_BYTES, this.#end)).get(SKV6ONLY);
    return value && value[0] !== 0;
  }

  /** `struct inet_diag_sockid`, by which the kernel finds the socket again. */
  get id(): Buffer {
    return this.#bytes.subarray(this.#offset + 4, this.#offset + 4 + ID_BYTES);
  }

  #address(offset: number, port: number): SocketAddress {
    const bytes = this.#bytes.subarray(this.#offset + offset, this.#offset + offset + 16);
    const host = hostOf(this.family, bytes);
    if (this.family === 'IPv4') return { family: 'IPv4', host, port };
    const device = this.#bytes.readUInt32LE(this.#offset + 40);
    // Only a link-local address needs its interface (RFC 4007 section 6).
    return device !== 0 && /^fe[89ab]/.test(host)
      ? { family: 'IPv6', host, port, scopeId: device }
      : { family: 'IPv6', host, port };
  }
}

const hosts = new Map<string, string>();

/** Thousands of sockets share a few addresses, and text is dear. */
function hostOf(family: 'IPv4' | 'IPv6', bytes: Buffer): string {
  const key = bytes.toString('latin1', 0, family === 'IPv4' ? 4 : 16);
  let host = hosts.get(key);
  if (host === undefined) {
    if (hosts.size >= 1024) hosts.clear();
    host = family === 'IPv4' ? decodeIPv4(bytes) : decodeIPv6(bytes);
    hosts.set(key, host);
  }
  return host;
}

/** Which sockets to dump; all of them by default. */
export interface DiagFilter {
  localPort?: number;
  peerPort?: number;
  /**
   * `LISTEN` alone costs next to nothing, every other state one walk over all connections of the namespace, and `CLOSE`
   * (sockets that are bound only, Linux 6.8) a second one.
   */
  states?: readonly SocketState[];
}

/**
 * TCP sockets of both families, by default in every state. The ports are compared in the kernel. Needs no right; with
 * 50,000 sockets in the namespace it takes about 5 ms without, 12 ms with those that are bound only.
 *
 * @throws KernelError, e.g. ENOENT where the kernel has no inet_diag; RelistenError `ERR_NO_FFI`
 */
export function dumpTcp(filter: DiagFilter = {}): DiagSocket[] {
  const found: DiagSocket[] = [];
  const keep = (bytes: Buffer, start: number, end: number) => {
    if (end - start >= MESSAGE_BYTES) found.push(new DiagSocket(bytes, start, end));
  };
  const restart = () => found.splice(0);
  dump(NETLINK_SOCK_DIAG, TCPDIAG_GETSOCK, encodeDumpRequest(filter), keep, restart);
  return found;
}

/**
 * `struct inet_diag_req`, the older of the two requests: without a family, it walks the kernel's tables once instead of
 * once a family. The ports are in it for the cheap comparison, and again as bytecode, as sockets that are bound only heed
 * nothing else (net/ipv4/inet_diag.c, inet_diag_dump_icsk).
 */
export function encodeDumpRequest(filter: DiagFilter): Buffer {
  const request = Buffer.alloc(COMPAT_REQUEST_BYTES);
  request.writeUInt16BE(filter.localPort ?? 0, 4);
  request.writeUInt16BE(filter.peerPort ?? 0, 6);
  request.writeUInt32LE(statesMask(filter.states), 52);
  const bytecode = encodePortFilter(filter);
  return bytecode.length === 0 ? request : Buffer.concat([request, encodeAttribute(BYTECODE, bytecode)]);
}

/** A bit a state; that for CLOSE also asks for sockets that are bound only. */
function statesMask(states: readonly SocketState[] | undefined): number {
  if (states === undefined) return ALL_STATES;
  let mask = 0;
  for (let number = 1; number < TCP_BOUND_INACTIVE; number++) if (states.includes(stateOf(number))) mask |= 1 << number;
  return states.includes('CLOSE') ? mask | (1 << TCP_BOUND_INACTIVE) : mask;
}

/**
 * Each comparison is two `struct inet_diag_bc_op`: code, offset when it holds, offset when not; then the port in host
 * order in the second one's last field. Landing exactly on the end accepts, four bytes beyond it rejects.
 */
function encodePortFilter({ localPort, peerPort }: DiagFilter): Buffer {
  const comparisons: [code: number, port: number][] = [];
  if (localPort !== undefined) comparisons.push([S_EQ, localPort]);
  if (peerPort !== undefined) comparisons.push([D_EQ, peerPort]);
  const bytes = Buffer.alloc(comparisons.length * 8);
  comparisons.forEach(([code, port], index) => {
    const offset = index * 8;
    bytes[offset] = code;
    bytes[offset + 1] = 8;
    bytes.writeUInt16LE(bytes.length - offset + 4, offset + 2);
    bytes.writeUInt16LE(port, offset + 6);
  });
  return bytes;
}

/**
 * Destroys a socket as `ss -K` does: TIME_WAIT goes without a trace, the owner of another gets ECONNABORTED and its peer
 * a RST. One that is gone already is no error.
 *
 * @throws KernelError EPERM without CAP_NET_ADMIN, EOPNOTSUPP without CONFIG_INET_DIAG_DESTROY
 */
export function destroySocket(socket: DiagSocket): void {
  destroySockets([socket]);
}

/**
 * Destroys many at once, some 100,000 a second.
 *
 * @returns how many of them were there to be destroyed
 * @throws KernelError as {@link destroySocket}, after all were tried
 */
export function destroySockets(sockets: readonly DiagSocket[]): number {
  const answers = submit(NETLINK_SOCK_DIAG, SOCK_DESTROY, sockets.map(encodeDestroyRequest));
  let destroyed = 0;
  for (const errno of answers) {
    if (errno === 0) destroyed++;
    else if (errno !== ENOENT) throw new KernelError('netlink', errno, 'SOCK_DESTROY');
  }
  return destroyed;
}

const ENOENT = 2;

function encodeDestroyRequest(socket: DiagSocket): Buffer {
  const request = Buffer.alloc(REQUEST_BYTES);
  request[0] = socket.family === 'IPv4' ? C.AF_INET : C.AF_INET6;
  request[1] = C.IPPROTO_TCP;
  socket.id.copy(request, 8);
  return request;
}

let answer: boolean | undefined;

/** Whether the kernel answers a dump here; asked once. */
export function hasSockDiag(): boolean {
  if (answer === undefined) {
    try {
      dumpTcp({ localPort: 1, states: ['LISTEN'] });
      answer = true;
    } catch (error) {
      answer = false;
      if (codeOf(error) === undefined) throw error;
    }
  }
  return answer;
}
