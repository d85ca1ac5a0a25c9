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
const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;

/** TCP_BOUND_INACTIVE is no state but a bit of the request: sockets that are bound and no more (Linux 6.8). */
const TCP_BOUND_INACTIVE = 13;
const ALL_STATES = 0x1fff | (1 << TCP_BOUND_INACTIVE);

const BYTECODE = 1; // INET_DIAG_REQ_BYTECODE
const SKV6ONLY = 11; // INET_DIAG_SKV6ONLY, which the kernel gives for LISTEN and CLOSE (Linux 4.3)
const TIMER_TIMEWAIT = 3; // idiag_timer
const S_EQ = 11; // INET_DIAG_BC_S_EQ and D_EQ, Linux 4.16
const D_EQ = 12;

const REQUEST_BYTES = 56; // struct inet_diag_req_v2
const MESSAGE_BYTES = 72; // struct inet_diag_msg
const ID_BYTES = 48; // struct inet_diag_sockid

/** One TCP socket of the network namespace that the caller is in. */
export class DiagSocket implements TcpSocket {
  readonly family: 'IPv4' | 'IPv6';
  readonly state: SocketState;
  readonly inode: number;
  readonly uid: number;
  readonly remainingMs: number | undefined;
  readonly v6only: boolean | undefined;
  /** `struct inet_diag_sockid`, by which the kernel finds the socket again. */
  readonly id: Buffer;

  /** @param payload of a SOCK_DIAG_BY_FAMILY message, at least 72 bytes; it is copied */
  constructor(payload: Buffer) {
    this.family = payload[0] === C.AF_INET6 ? 'IPv6' : 'IPv4';
    this.state = stateOf(payload[1] ?? 0);
    this.id = Buffer.from(payload.subarray(4, 4 + ID_BYTES));
    this.remainingMs = payload[2] === TIMER_TIMEWAIT ? payload.readUInt32LE(52) : undefined;
    this.uid = payload.readUInt32LE(64);
    this.inode = payload.readUInt32LE(68);
    const idle = this.state === 'LISTEN' || this.state === 'CLOSE';
    const v6only =
      this.family === 'IPv6' && idle ? decodeAttributes(payload.subarray(MESSAGE_BYTES)).get(SKV6ONLY) : undefined;
    this.v6only = v6only && v6only[0] !== 0;
  }

  get localPort(): number {
    return this.id.readUInt16BE(0);
  }

  get peerPort(): number {
    return this.id.readUInt16BE(2);
  }

  get local(): SocketAddress {
    return this.#address(4, this.localPort);
  }

  get peer(): SocketAddress | undefined {
    return this.peerPort === 0 ? undefined : this.#address(20, this.peerPort);
  }

  #address(offset: number, port: number): SocketAddress {
    if (this.family === 'IPv4') return { family: 'IPv4', host: decodeIPv4(this.id.subarray(offset)), port };
    const host = decodeIPv6(this.id.subarray(offset, offset + 16));
    const device = this.id.readUInt32LE(36);
    return device !== 0 && host.startsWith('fe80:')
      ? { family: 'IPv6', host, port, scopeId: device }
      : { family: 'IPv6', host, port };
  }
}

/** Which sockets to dump; all of them by default. */
export interface DiagFilter {
  localPort?: number;
  peerPort?: number;
  /** Default both. */
  families?: ('IPv4' | 'IPv6')[];
}

/**
 * TCP sockets in every state, those of TIME_WAIT and, from Linux 6.8, those that are bound only included. The ports are
 * compared in the kernel. Needs no right; takes about 1 ms a family for each 20,000 sockets of the namespace.
 *
 * @throws KernelError, e.g. ENOENT where the kernel has no inet_diag; RelistenError `ERR_NO_FFI`
 */
export function dumpTcp(filter: DiagFilter = {}): DiagSocket[] {
  const found: DiagSocket[] = [];
  for (const family of filter.families ?? (['IPv4', 'IPv6'] as const)) {
    const before = found.length;
    const request = encodeDumpRequest(family, filter);
    const keep = (payload: Buffer) => {
      if (payload.length >= MESSAGE_BYTES) found.push(new DiagSocket(payload));
    };
    dump(
      NETLINK_SOCK_DIAG,
      SOCK_DIAG_BY_FAMILY,
      request,
      message => keep(message.payload),
      () => found.splice(before),
    );
  }
  return found;
}

/** `struct inet_diag_req_v2`, and the port comparisons as bytecode: sockets that are bound only heed no other filter. */
export function encodeDumpRequest(family: 'IPv4' | 'IPv6', filter: DiagFilter): Buffer {
  const request = Buffer.alloc(REQUEST_BYTES);
  request[0] = family === 'IPv4' ? C.AF_INET : C.AF_INET6;
  request[1] = C.IPPROTO_TCP;
  request.writeUInt32LE(ALL_STATES, 4);
  request.writeUInt16BE(filter.localPort ?? 0, 8);
  request.writeUInt16BE(filter.peerPort ?? 0, 10);
  const bytecode = encodePortFilter(filter);
  return bytecode.length === 0 ? request : Buffer.concat([request, encodeAttribute(BYTECODE, bytecode)]);
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
      dumpTcp({ localPort: 1, peerPort: 1 });
      answer = true;
    } catch (error) {
      answer = false;
      if (codeOf(error) === undefined) throw error;
    }
  }
  return answer;
}
