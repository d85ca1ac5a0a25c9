import { readlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import type { SocketAddress } from '../address.ts';
import { IPPROTO_MPTCP, IPPROTO_TCP } from '../kernel/constants.ts';
import { close } from '../kernel/fd.ts';
import { readMemory } from '../kernel/memory.ts';
import { pidfdGetfd, pidfdOpenThread } from '../kernel/pidfd.ts';
import { threadGroup } from '../kernel/procfs.ts';
import { isTargetFdCloexec, type Notification } from '../kernel/seccomp.ts';
import { decodeSockaddr, SOCKADDR_BYTES } from '../kernel/sockaddr.ts';
import { describeSocket, getOption, type SocketKind } from '../kernel/socket.ts';
import { inodeOf } from '../kernel/stat.ts';

/** The socket that a program's bind(2) or listen(2) is about, as seen from outside. */
export interface CallerSocket extends SocketKind {
  /** The program's process. */
  pid: number;
  /** Its own number for the socket. */
  targetFd: number;
  /** Whether its descriptor is CLOEXEC. */
  cloexec: boolean;
  /** Our duplicate: the receiver's to close. */
  fd: number;
  inode: number;
}

/** The descriptor that a waiting call is about: the first argument of each of them, an int. */
export function descriptorOf({ args: [fd] }: Notification): number {
  return Number(BigInt.asIntN(32, fd));
}

/**
 * Duplicates the socket of a waiting call.
 *
 * @returns undefined where it is none of relisten's business: not a stream socket of TCP, MPTCP or AF_UNIX
 * @throws KernelError EPERM where we may not look into the process
 */
export function duplicateSocket(notification: Notification): CallerSocket | undefined {
  const { tid } = notification;
  const targetFd = descriptorOf(notification);
  const pid = threadGroup(tid) ?? tid;
  const pidfd = pidfdOpenThread(tid, pid);
  let fd = -1;
  try {
    fd = pidfdGetfd(pidfd, targetFd);
    const kind = describeSocket(fd);
    if (!kind || !isStreamOfOurs(fd, kind)) {
      close(fd);
      return undefined;
    }
    return { ...kind, pid, targetFd, cloexec: isTargetFdCloexec(tid, targetFd), fd, inode: inodeOf(fd) };
  } catch (error) {
    if (fd !== -1) close(fd);
    throw error;
  } finally {
    close(pidfd);
  }
}

function isStreamOfOurs(fd: number, kind: SocketKind): boolean {
  if (!kind.stream || kind.domain === undefined) return false;
  if (kind.domain === 'unix') return true;
  const protocol = getOption(fd, 'SO_PROTOCOL');
  return protocol === IPPROTO_TCP || protocol === IPPROTO_MPTCP;
}

/** What a bind(2) asks for. */
export interface WantedAddress {
  address: SocketAddress;
  /** Where it means another network than ours. */
  netns?: string;
}

/**
 * The address that a waiting bind(2) passes; undefined for families that are none of relisten's business, and for the
 * kernel's choice of a port or name. A relative unix path is made absolute from the caller's root and directory.
 */
export function wantedAddress({ tid, args }: Notification): WantedAddress | undefined {
  const length = Number(BigInt.asUintN(32, args[2]));
  if (length > SOCKADDR_BYTES) return undefined;
  const address = decodeSockaddr(readMemory(tid, args[1], length));
  if (!address || (address.family !== 'unix' && address.port === 0)) return undefined;
  if (address.family !== 'unix' || address.path.startsWith('\0')) return { address, netns: foreignNetwork(tid) };
  const root = readlinkSync(`/proc/${tid}/root`);
  const path = resolve(readlinkSync(`/proc/${tid}/cwd`), address.path);
  return { address: { family: 'unix', path: root === '/' ? path : `${root}${path}` } };
}

function foreignNetwork(tid: number): string | undefined {
  const netns = readlinkSync(`/proc/${tid}/ns/net`);
  return netns === readlinkSync('/proc/self/ns/net') ? undefined : netns;
}
