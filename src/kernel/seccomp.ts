import { readFileSync } from 'node:fs';
import { arch } from './constants.ts';
import { codeOf } from './errno.ts';
import { close } from './fd.ts';
import { call } from './libc.ts';
import { pidfdGetfd, pidfdOpen } from './pidfd.ts';
import type { Tracee } from './ptrace.ts';
import { encodeFilter } from './seccomp-filter.ts';

/*
 * seccomp(2) and seccomp_unotify(2): what the filter asks about (seccomp-filter.ts), for a process and everything it spawns,
 * is answered by whoever reads the notification descriptor; every other system call passes untouched.
 */

const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_GET_NOTIF_SIZES = 3;
const FLAG_NEW_LISTENER = 1 << 3;
/** Linux 5.19: once we have read a notification, only a fatal signal interrupts the target's call. */
const FLAG_WAIT_KILLABLE_RECV = 1 << 5;

const IOCTL_RECV = 0xc0502100;
const IOCTL_SEND = 0xc0182101;
const IOCTL_ID_VALID = 0x40082102;
const IOCTL_ADDFD = 0x40182103;
const ADDFD_FLAG_SETFD = 1;
const RESP_FLAG_CONTINUE = 1;
/** sizeof(struct seccomp_notif), which the ioctl's number carries. */
const NOTIF_BYTES = 80;

/**
 * Puts a process, and all that it will spawn, under the filter, for good. Without CAP_SYS_ADMIN this needs no_new_privs,
 * which is then set: setuid programs below do not gain privileges.
 *
 * @param listeners descriptors at which the program is known to have listeners, if that is known
 * @returns the notification descriptor, CLOEXEC and the caller's
 * @throws KernelError ENOSYS or EINVAL where the kernel cannot (Linux 5.9 has all that we use), EBUSY under another
 * listening filter
 */
export function installFilter(tracee: Tracee, listeners?: readonly number[]): number {
  const instructions = encodeFilter(listeners);
  const program = Buffer.alloc(16);
  program.writeUInt16LE(instructions.length / 8, 0);
  program.writeBigUInt64LE(tracee.place(instructions), 8);
  const address = tracee.place(program);
  const install = (flags: number) =>
    tracee.call('seccomp', [SECCOMP_SET_MODE_FILTER, flags, address], 'SECCOMP_SET_MODE_FILTER');
  const installBest = () => {
    try {
      return install(FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE_RECV);
    } catch (error) {
      if (codeOf(error) !== 'EINVAL') throw error;
      return install(FLAG_NEW_LISTENER);
    }
  };
  try {
    return fetch(tracee, installBest());
  } catch (error) {
    if (codeOf(error) !== 'EACCES') throw error;
  }
  tracee.call('prctl', [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0], 'PR_SET_NO_NEW_PRIVS, 1');
  return fetch(tracee, installBest());
}

/** Has a descriptor of the process change hands. */
function fetch(tracee: Tracee, targetFd: bigint): number {
  const pidfd = pidfdOpen(tracee.pid);
  try {
    return pidfdGetfd(pidfd, Number(targetFd));
  } finally {
    close(pidfd);
    tracee.call('close', [targetFd]);
  }
}

/** Why seccomp user notification is not to be had here; undefined where it is. Installs nothing. */
export function whyNoInterception(): string | undefined {
  try {
    call('seccomp', [arch().SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, Buffer.alloc(6)], 'SECCOMP_GET_NOTIF_SIZES');
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const [major = 0, minor = 0] = readFileSync('/proc/sys/kernel/osrelease', 'utf8').split('.').map(Number.parseFloat);
  if (major > 5 || (major === 5 && minor >= 9)) return undefined;
  return `Linux ${major}.${minor} cannot put a descriptor into another process (SECCOMP_IOCTL_NOTIF_ADDFD, Linux 5.9)`;
}

/** A system call that waits for our answer. */
export interface Notification {
  id: bigint;
  /** The calling thread's id. */
  tid: number;
  call: AskedCall;
  args: [bigint, bigint, bigint];
}

export type AskedCall = 'bind' | 'listen' | 'getsockopt' | 'shutdown';

function callOf(number: number): AskedCall {
  const { SYS_bind, SYS_listen, SYS_shutdown } = arch();
  const calls: Record<number, AskedCall> = { [SYS_bind]: 'bind', [SYS_listen]: 'listen', [SYS_shutdown]: 'shutdown' };
  return calls[number] ?? 'getsockopt';
}

/** Reads one notification; undefined when its caller was killed meanwhile. Call it only after POLLIN: it blocks. */
export function receive(notifyFd: number): Notification | undefined {
  const bytes = Buffer.alloc(NOTIF_BYTES);
  try {
    call('ioctl', [notifyFd, IOCTL_RECV, bytes], `${notifyFd}, SECCOMP_IOCTL_NOTIF_RECV`);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  return {
    id: bytes.readBigUInt64LE(0),
    tid: bytes.readUInt32LE(8),
    call: callOf(bytes.readInt32LE(16)),
    args: [bytes.readBigUInt64LE(32), bytes.readBigUInt64LE(40), bytes.readBigUInt64LE(48)],
  };
}

/** Whether the caller still waits: check after reading its memory, or the pid may mean another process by then. */
export function isWaiting(notifyFd: number, id: bigint): boolean {
  try {
    call('ioctl', [notifyFd, IOCTL_ID_VALID, BigUint64Array.of(id)]);
    return true;
  } catch {
    return false;
  }
}

/** Lets the call happen as if nobody had looked. */
export function respondContinue(notifyFd: number, id: bigint): void {
  respond(notifyFd, id, 0, RESP_FLAG_CONTINUE);
}

/** Answers the call in the kernel's place: 0, or a positive errno. */
export function respondResult(notifyFd: number, id: bigint, errno: number): void {
  respond(notifyFd, id, -errno, 0);
}

function respond(notifyFd: number, id: bigint, error: number, flags: number): void {
  const bytes = Buffer.alloc(24);
  bytes.writeBigUInt64LE(id, 0);
  bytes.writeInt32LE(error, 16);
  bytes.writeUInt32LE(flags, 20);
  try {
    call('ioctl', [notifyFd, IOCTL_SEND, bytes], `${notifyFd}, SECCOMP_IOCTL_NOTIF_SEND`);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error; // the caller was killed: nobody to answer
  }
}

/**
 * Replaces the descriptor `targetFd` of the waiting caller by a duplicate of our `fd` (Linux 5.9), closing what it was.
 *
 * @param cloexec whether the caller's new descriptor is closed by its execve(2)
 */
export function replaceFd(notifyFd: number, id: bigint, fd: number, targetFd: number, cloexec: boolean): void {
  const bytes = Buffer.alloc(24);
  bytes.writeBigUInt64LE(id, 0);
  bytes.writeUInt32LE(ADDFD_FLAG_SETFD, 8);
  bytes.writeUInt32LE(fd, 12);
  bytes.writeUInt32LE(targetFd, 16);
  bytes.writeUInt32LE(cloexec ? 0o2000000 : 0, 20);
  call('ioctl', [notifyFd, IOCTL_ADDFD, bytes], `${notifyFd}, SECCOMP_IOCTL_NOTIF_ADDFD`);
}

/** Flags of another process's open descriptor, in octal there (proc_pid_fdinfo(5)). */
export function isTargetFdCloexec(tid: number, fd: number): boolean {
  const match = /^flags:\s+([0-7]+)/m.exec(readFileSync(`/proc/${tid}/fdinfo/${fd}`, 'utf8'));
  return (Number.parseInt(match?.[1] ?? '0', 8) & 0o2000000) !== 0;
}
