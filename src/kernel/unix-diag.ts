import { lstatSync } from 'node:fs';
import type { SocketState } from '../inspection.ts';
import * as C from './constants.ts';
import { decodeAttributes, dump } from './netlink.ts';
import { stateOf } from './tcp-socket.ts';

/*
 * Unix sockets over NETLINK_SOCK_DIAG (sock_diag(7), "UNIX domain sockets"). Beside the name it tells which file a socket
 * was bound to, whatever path, folder or mount namespace was used to name it.
 */

/** One unix stream socket of the caller's network namespace. */
export interface UnixDiagSocket {
  state: SocketState;
  inode: number;
  uid: number | undefined;
  /** As given to bind(2), with NUL in front of an abstract name; undefined for an unnamed socket. */
  path: string | undefined;
  /** The file that it is bound to. */
  file: FileIdentity | undefined;
}

/** Which file something is: inode and device number, as unix_diag has them. */
export interface FileIdentity {
  inode: number;
  device: number;
}

/**
 * Of the socket file at a path; undefined where there is none.
 *
 * unix_diag gives 32 bits of the inode, and the device as major << 20 | minor where stat(2) mixes both.
 */
export function fileIdentity(path: string): FileIdentity | undefined {
  const stat = path.startsWith('\0') ? undefined : lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (!stat?.isSocket()) return undefined;
  const major = (stat.dev >> 8n) & 0xfffn;
  const minor = (stat.dev & 0xffn) | ((stat.dev >> 12n) & 0xfff00n);
  return { inode: Number(stat.ino & 0xffffffffn), device: Number((major << 20n) | minor) };
}

export function sameFile(one: FileIdentity, other: FileIdentity): boolean {
  return one.inode === other.inode && one.device === other.device;
}

const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const REQUEST_BYTES = 24; // struct unix_diag_req
const MESSAGE_BYTES = 16; // struct unix_diag_msg
const UDIAG_SHOW_NAME = 0x1;
const UDIAG_SHOW_VFS = 0x2;
const UDIAG_SHOW_PEER = 0x4;
const UDIAG_SHOW_ICONS = 0x8;
const UDIAG_SHOW_UID = 0x40; // Linux 5.3
const UNIX_DIAG_NAME = 0;
const UNIX_DIAG_VFS = 1;
const UNIX_DIAG_PEER = 2;
const UNIX_DIAG_ICONS = 3;
const UNIX_DIAG_UID = 7;
const LISTEN = 1 << 10;
/** LISTEN and CLOSE: what is bound and not connected. */
const BOUND = LISTEN | (1 << 7);
const ESTABLISHED = 1 << 1;

/**
 * Stream sockets that listen or are bound only.
 *
 * @throws KernelError, e.g. ENOENT where the kernel has no unix_diag; RelistenError `ERR_NO_FFI`
 */
export function dumpUnix(): UnixDiagSocket[] {
  const found: UnixDiagSocket[] = [];
  const keep = (payload: Buffer) => {
    const socket = decodeUnixMessage(payload);
    if (socket) found.push(socket);
  };
  dumpStates(BOUND, UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_UID, keep, () => found.splice(0));
  return found;
}

/**
 * The inode of the socket at the other end of a connected stream socket.
 *
 * @param inode of a socket of the caller's network namespace
 * @returns 0 where there is none: nobody has accepted it yet, or the other end is closed
 * @throws KernelError as {@link dumpUnix} does
 */
export function unixPeer(inode: number): number {
  let peer = 0;
  const look = (payload: Buffer) => {
    if (payload.length < MESSAGE_BYTES || payload.readUInt32LE(4) !== inode) return;
    const attribute = decodeAttributes(payload.subarray(MESSAGE_BYTES)).get(UNIX_DIAG_PEER);
    if (attribute && attribute.length >= 4) peer = attribute.readUInt32LE(0);
  };
  dumpStates(ESTABLISHED, UDIAG_SHOW_PEER, look);
  return peer;
}

/**
 * How many connections nobody has accepted yet whose clients have closed their end meanwhile, by listener: for such a one
 * the kernel has no inode any more (net/unix/diag.c, `sk_diag_dump_icons`).
 *
 * @throws KernelError as {@link dumpUnix} does
 */
export function closedInQueue(): Map<number, number> {
  const closed = new Map<number, number>();
  const look = (payload: Buffer) => {
    if (payload.length < MESSAGE_BYTES) return;
    const clients = decodeAttributes(payload.subarray(MESSAGE_BYTES)).get(UNIX_DIAG_ICONS) ?? Buffer.alloc(0);
    let count = 0;
    for (let at = 0; at + 4 <= clients.length; at += 4) if (clients.readUInt32LE(at) === 0) count++;
    closed.set(payload.readUInt32LE(4), count);
  };
  dumpStates(LISTEN, UDIAG_SHOW_ICONS, look, () => closed.clear());
  return closed;
}

function dumpStates(states: number, show: number, each: (payload: Buffer) => void, restart?: () => void): void {
  const request = Buffer.alloc(REQUEST_BYTES);
  request[0] = C.AF_UNIX;
  request.writeUInt32LE(states, 4);
  request.writeUInt32LE(show, 12);
  const visit = (bytes: Buffer, start: number, end: number) => each(bytes.subarray(start, end));
  dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, request, visit, restart);
}

/** A `struct unix_diag_msg` and its attributes; undefined for other types than SOCK_STREAM. */
export function decodeUnixMessage(payload: Buffer): UnixDiagSocket | undefined {
  if (payload.length < MESSAGE_BYTES || payload[1] !== C.SOCK_STREAM) return undefined;
  const attributes = decodeAttributes(payload.subarray(MESSAGE_BYTES));
  const name = attributes.get(UNIX_DIAG_NAME);
  const file = attributes.get(UNIX_DIAG_VFS);
  const uid = attributes.get(UNIX_DIAG_UID);
  return {
    state: stateOf(payload[2] ?? 0),
    inode: payload.readUInt32LE(4),
    uid: uid && uid.length >= 4 ? uid.readUInt32LE(0) : undefined,
    path: name && name.length > 0 ? name.toString('utf8').replace(/(?<=.)\0+$/s, '') : undefined,
    file: file && file.length >= 8 ? { inode: file.readUInt32LE(0), device: file.readUInt32LE(4) } : undefined,
  };
}
