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
const UDIAG_SHOW_UID = 0x40; // Linux 5.3
const UNIX_DIAG_NAME = 0;
const UNIX_DIAG_VFS = 1;
const UNIX_DIAG_UID = 7;
/** LISTEN and CLOSE: what is bound and not connected. */
const STATES = (1 << 10) | (1 << 7);

/**
 * Stream sockets that listen or are bound only.
 *
 * @throws KernelError, e.g. ENOENT where the kernel has no unix_diag; RelistenError `ERR_NO_FFI`
 */
export function dumpUnix(): UnixDiagSocket[] {
  const request = Buffer.alloc(REQUEST_BYTES);
  request[0] = C.AF_UNIX;
  request.writeUInt32LE(STATES, 4);
  request.writeUInt32LE(UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_UID, 12);
  const found: UnixDiagSocket[] = [];
  const keep = (bytes: Buffer, start: number, end: number) => {
    const socket = decodeUnixMessage(bytes.subarray(start, end));
    if (socket) found.push(socket);
  };
  dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, request, keep, () => found.splice(0));
  return found;
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
