import { readdirSync, readFileSync } from 'node:fs';
import { arch, type WaitKind } from './constants.ts';
import { readablesOf } from './epoll.ts';
import { isForbidden, isShortage } from './errno.ts';
import { readMemory } from './memory.ts';
import { socketInode, socketInodes } from './proc-fd.ts';
import { isEnding } from './procfs.ts';

/*
 * For which sockets a process waits: /proc/PID/task/TID/syscall (proc_pid_syscall(5)) has the call that a thread sleeps in, and
 * its arguments; what those mean is looked up in the process.
 */

/** Whether the kernel tells (CONFIG_HAVE_ARCH_TRACEHOOK). */
export function tellsSleeps(): boolean {
  try {
    return readFileSync('/proc/self/syscall', 'utf8') !== '';
  } catch {
    return false;
  }
}

/** A system call that a thread sleeps in. */
export interface Sleep {
  number: number;
  args: bigint[];
}

/** Reads the file; undefined for a thread that runs (`running`), or sleeps in no call (`-1`). */
export function parseSleep(text: string): Sleep | undefined {
  const [number, ...args] = text.trim().split(' ');
  return /^\d+$/.test(number ?? '') ? { number: Number(number), args: args.slice(0, 6).map(BigInt) } : undefined;
}

/**
 * Those of the sockets for which a thread of the process sleeps until there is something to read or accept. Nothing where the
 * process is gone.
 *
 * @param wanted inodes
 * @throws where we may not look into it ({@link isForbidden}), or cannot now ({@link isShortage})
 */
export function awaitedIn(pid: number, wanted: ReadonlySet<number>): Set<number> {
  const found = new Set<number>();
  for (const tid of threadsOf(pid)) {
    for (const inode of awaitedBy(pid, tid)) if (wanted.has(inode)) found.add(inode);
    if (found.size === wanted.size) break;
  }
  return found;
}

function threadsOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [];
  }
}

function awaitedBy(pid: number, tid: number): Iterable<number> {
  try {
    const sleep = parseSleep(readFileSync(`/proc/${pid}/task/${tid}/syscall`, 'utf8'));
    return sleep ? socketsOf(tid, sleep) : [];
  } catch (error) {
    if (isShortage(error) || (isForbidden(error) && !isEnding(tid))) throw error;
    return []; // it ends, or is somewhere else by now
  }
}

/**
 * | call           | waits for                                                                       |
 * |----------------|---------------------------------------------------------------------------------|
 * | accept         | the descriptor that is its first argument                                       |
 * | poll           | the descriptors in its array that it wants to read                              |
 * | select         | the descriptors in its first set                                                |
 * | epoll_wait     | what its instance watches for reading                                           |
 * | io_uring_enter | what was asked for earlier, and is not to be seen: anything that the process has |
 * | anything else  | nothing                                                                         |
 */
function socketsOf(tid: number, { number, args }: Sleep): Iterable<number> {
  const [first = 0n, second = 0n] = args;
  switch (kindOf(number)) {
    case 'accept':
      return inodesOf(tid, [descriptor(first)]);
    case 'poll':
      return inodesOf(tid, polled(readMemory(tid, first, bytesFor(second, POLLFD_BYTES))));
    case 'select':
      return inodesOf(tid, selected(readMemory(tid, second, bytesFor(first, 1 / 8)), descriptor(first)));
    case 'epoll':
      return readablesOf(tid, descriptor(first));
    case 'ring':
      return socketInodes(tid);
    default:
      return [];
  }
}

function kindOf(number: number): WaitKind | undefined {
  const { waits } = arch();
  return (Object.keys(waits) as WaitKind[]).find(kind => waits[kind].includes(number));
}

/** An int; the register has more bits. */
function descriptor(argument: bigint): number {
  return Number(BigInt.asIntN(32, argument));
}

function inodesOf(tid: number, fds: readonly number[]): number[] {
  return fds.map(fd => socketInode(tid, fd)).filter(inode => inode !== undefined);
}

/** More descriptors than a program polls that way. */
const MANY = 65_536;

function bytesFor(count: bigint, bytesEach: number): number {
  return Math.ceil(Math.min(Number(count), MANY) * bytesEach);
}

/** struct pollfd: an int, and two shorts: what is wanted and what has come (poll(2)). */
const POLLFD_BYTES = 8;
const POLLIN = 1;

function polled(array: Buffer): number[] {
  const fds: number[] = [];
  for (let at = 0; at + POLLFD_BYTES <= array.length; at += POLLFD_BYTES) {
    if ((array.readInt16LE(at + 4) & POLLIN) !== 0) fds.push(array.readInt32LE(at));
  }
  return fds;
}

/** An fd_set: a bit for each descriptor, in words of which the lowest byte is first (select(2)). */
function selected(set: Buffer, count: number): number[] {
  const fds: number[] = [];
  for (let fd = 0; fd < count && fd < set.length * 8; fd++) {
    if (((set[fd >> 3] ?? 0) & (1 << (fd & 7))) !== 0) fds.push(fd);
  }
  return fds;
}
