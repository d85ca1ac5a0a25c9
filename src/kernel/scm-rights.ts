import { invalidArgument, RelistenError } from '../errors.ts';
import * as C from './constants.ts';
import { codeOf } from './errno.ts';
import { close } from './fd.ts';
import { addressOf, call } from './libc.ts';
import { bind, connect, listen } from './socket.ts';

/*
 * File descriptors as passengers of a message (SCM_RIGHTS, unix(7)), over SOCK_SEQPACKET: a message arrives whole or not
 * at all, in order, with its descriptors, and the end of the connection is seen. All of it is non-blocking; whoever has
 * to wait polls.
 */

/** SCM_MAX_FD: the kernel refuses more in one message with EINVAL (unix(7)). */
export const MAX_FDS = 253;

// struct msghdr, iovec and cmsghdr of a 64-bit Linux (recvmsg(2), cmsg(3)).
const MSGHDR_BYTES = 56;
const IOVEC_BYTES = 16;
const CMSGHDR_BYTES = 16;
const CONTROL_BYTES = cmsgAlign(CMSGHDR_BYTES + MAX_FDS * 4);

/** Listens on a path, which must not exist; the caller owns the fd and the file. */
export function listenSeqpacket(path: string, backlog = 128): number {
  const fd = seqpacket();
  return closedOnError(fd, () => {
    bind(fd, { family: 'unix', path });
    listen(fd, backlog);
  });
}

/** Connects at once, or throws: ECONNREFUSED and ENOENT where nobody listens, EAGAIN where the backlog is full. */
export function connectSeqpacket(path: string): number {
  const fd = seqpacket();
  return closedOnError(fd, () => connect(fd, { family: 'unix', path }));
}

/** Both ends of an unnamed connection; the caller owns both. */
export function seqpacketPair(): [number, number] {
  const pair = new Int32Array(2);
  call('socketpair', [C.AF_UNIX, SEQPACKET_TYPE, 0, pair], 'unix, SOCK_SEQPACKET');
  return [pair[0] ?? -1, pair[1] ?? -1];
}

/** A waiting connection, which the caller owns; undefined where none waits. */
export function acceptSeqpacket(fd: number): number | undefined {
  return unlessAgain(() => call('accept4', [fd, null, null, C.SOCK_CLOEXEC | C.SOCK_NONBLOCK], `${fd}`));
}

/**
 * Sends one message. Its descriptors stay the caller's: the receiver gets duplicates of its own, and those on their way
 * are closed by the kernel should nobody receive them.
 *
 * @param payload at least one byte, because an empty message looks like the end of the connection
 * @returns false where the receiver's queue is full: nothing was sent
 * @throws KernelError EPIPE or ECONNRESET where the receiver is gone, ETOOMANYREFS where too many descriptors of this
 * user are on their way (RLIMIT_NOFILE, unix(7)), EMSGSIZE where the payload exceeds the socket's buffer
 */
export function sendFds(fd: number, payload: Buffer, fds: readonly number[] = []): boolean {
  const message = describeMessage(payload, encodeRights(fds));
  const shown = `${fd}, ${payload.length} bytes and ${fds.length} fds`;
  const sent = unlessAgain(() => call('sendmsg', [fd, message, C.MSG_NOSIGNAL | C.MSG_DONTWAIT], shown));
  return sent !== undefined;
}

/** One message; its descriptors are CLOEXEC and the receiver's to close. */
export interface Received {
  payload: Buffer;
  fds: number[];
}

/**
 * Receives one message. ECONNRESET is nobody's to see: the kernel tells of messages that the other side has left unread
 * once, when that has closed, and gives what it had sent before then (unix_dgram_recvmsg, Linux 6.18).
 *
 * @param maxBytes the longest payload to accept
 * @returns 'again' where none waits, 'end' where the other side has closed and nothing is left
 * @throws RelistenError ERR_FDS_TRUNCATED where this process had no room for every descriptor (MSG_CTRUNC), else
 * ERR_MESSAGE_TRUNCATED where the payload was longer: the descriptors that came are closed
 */
export function receiveFds(fd: number, maxBytes: number): Received | 'again' | 'end' {
  if (incoming.length < maxBytes) incoming = Buffer.allocUnsafeSlow(maxBytes);
  const message = describeMessage(incoming.subarray(0, maxBytes), CONTROL_BYTES);
  const flags = C.MSG_CMSG_CLOEXEC | C.MSG_DONTWAIT;
  const length = unlessAgain(() => afterReset(() => call('recvmsg', [fd, message, flags], `${fd}`)));
  if (length === undefined) return 'again';
  const fds = decodeRights(Number(message.readBigUInt64LE(40)));
  const truncated = message.readInt32LE(48) & (C.MSG_TRUNC | C.MSG_CTRUNC);
  if (truncated !== 0) {
    for (const received of fds) close(received);
    throw truncation(truncated, fds.length, maxBytes);
  }
  return length === 0 ? 'end' : { payload: Buffer.from(incoming.subarray(0, length)), fds };
}

function truncation(flags: number, fds: number, maxBytes: number): RelistenError {
  const [code, why] =
    flags & C.MSG_CTRUNC
      ? ['ERR_FDS_TRUNCATED', `no room for more than ${fds} of its file descriptors (RLIMIT_NOFILE)`]
      : ['ERR_MESSAGE_TRUNCATED', `it is longer than ${maxBytes} bytes`];
  return new RelistenError(`Cannot receive a message: ${why}`, { code, op: 'recvmsg' });
}

const SEQPACKET_TYPE = C.SOCK_SEQPACKET | C.SOCK_CLOEXEC | C.SOCK_NONBLOCK;

function seqpacket(): number {
  return call('socket', [C.AF_UNIX, SEQPACKET_TYPE, 0], 'unix, SOCK_SEQPACKET');
}

function closedOnError(fd: number, act: () => void): number {
  try {
    act();
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

function unlessAgain(act: () => number): number | undefined {
  try {
    return act();
  } catch (error) {
    if (codeOf(error) === 'EAGAIN') return undefined;
    throw error;
  }
}

function afterReset(receive: () => number): number {
  try {
    return receive();
  } catch (error) {
    if (codeOf(error) === 'ECONNRESET') return receive();
    throw error;
  }
}

// Calls are synchronous, so one set of structs serves them all.
const header = Buffer.alloc(MSGHDR_BYTES);
const iovec = Buffer.alloc(IOVEC_BYTES);
const control = Buffer.alloc(CONTROL_BYTES);
/** As long as the longest message that anybody was ready for: what came is copied out of it. */
let incoming = Buffer.alloc(0);

/** The struct msghdr of one payload, and of as much of the control buffer as is given. */
function describeMessage(payload: Buffer, controlLength: number): Buffer {
  iovec.writeBigUInt64LE(addressOf(payload), 0);
  iovec.writeBigUInt64LE(BigInt(payload.length), 8);
  header.writeBigUInt64LE(addressOf(iovec), 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(controlLength === 0 ? 0n : addressOf(control), 32);
  header.writeBigUInt64LE(BigInt(controlLength), 40);
  header.writeInt32LE(0, 48);
  return header;
}

/** Writes the control message, and returns how long it is. */
function encodeRights(fds: readonly number[]): number {
  if (fds.length === 0) return 0;
  if (fds.length > MAX_FDS) throw invalidArgument('number of file descriptors', fds.length, `at most ${MAX_FDS}`);
  control.writeBigUInt64LE(BigInt(CMSGHDR_BYTES + fds.length * 4), 0);
  control.writeInt32LE(C.SOL_SOCKET, 8);
  control.writeInt32LE(C.SCM_RIGHTS, 12);
  fds.forEach((fd, index) => {
    control.writeInt32LE(fd, CMSGHDR_BYTES + index * 4);
  });
  return cmsgAlign(CMSGHDR_BYTES + fds.length * 4);
}

function decodeRights(length: number): number[] {
  const fds: number[] = [];
  for (let at = 0; at + CMSGHDR_BYTES <= length; ) {
    const size = Number(control.readBigUInt64LE(at));
    if (size < CMSGHDR_BYTES) break;
    if (control.readInt32LE(at + 8) === C.SOL_SOCKET && control.readInt32LE(at + 12) === C.SCM_RIGHTS) {
      const end = Math.min(at + size, length);
      for (let item = at + CMSGHDR_BYTES; item + 4 <= end; item += 4) fds.push(control.readInt32LE(item));
    }
    at += cmsgAlign(size);
  }
  return fds;
}

function cmsgAlign(length: number): number {
  return Math.ceil(length / 8) * 8;
}
