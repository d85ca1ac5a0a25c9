import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { isForbidden } from './errno.ts';
import { childrenOf, isOrphan, parentOf, pids } from './procfs.ts';

/*
 * /proc/PID/fd (proc_pid_fd(5)): which process has which socket. Of processes that the caller may not look into, nothing is
 * seen. A main thread that has ended (pthread_exit(3)) has no descriptors any more, and its process is the other threads.
 */

/** A process with more descriptors than this is read last, after its first few: reading the folder makes an inode of each. */
const MANY_FDS = 512;
const FIRST_FDS = Array.from({ length: 64 }, (_, fd) => String(fd));

/** Pids by inode. */
export type Owners = Map<number, number[]>;

/** Whether what was found will do, although some of the sockets have no owner yet. */
export type Enough = (found: Owners) => boolean;

/**
 * Every process that has one of these sockets open. Reads the descriptors of all processes, about 5 ms for 1,000 of them.
 * Of processes with very many only the first are read, unless it is not `enough` after all others.
 *
 * @param enough by default, when every socket has an owner
 */
export function ownersOf(inodes: ReadonlySet<number>, enough: Enough = hasAll(inodes)): Owners {
  return search(inodes, pids(), false, enough);
}

/**
 * The same, but reads only until it is `enough`, the youngest processes first, and then the owners' relatives: a socket is
 * in two processes because one inherited it from the other. Misses those that got it over a unix socket.
 */
export function likelyOwnersOf(inodes: ReadonlySet<number>, enough: Enough = hasAll(inodes)): Owners {
  const owners = search(inodes, pids().reverse(), true, enough);
  const holders = [...new Set([...owners.values()].flat())];
  const seen = new Set(holders);
  for (const pid of holders) {
    const relatives = relativesOf(pid);
    if (!relatives) return ownersOf(inodes, enough);
    for (const relative of relatives) {
      if (seen.has(relative)) continue;
      seen.add(relative);
      if (collect(relative, tableOf(relative), inodes, owners)) holders.push(relative);
    }
  }
  return owners;
}

function hasAll(inodes: ReadonlySet<number>): Enough {
  return found => found.size === inodes.size;
}

/** Parent and children; undefined where they are not to be known: an orphan's siblings may be anybody's by now. */
function relativesOf(pid: number): number[] | undefined {
  const children = childrenOf(pid);
  const parent = parentOf(pid) ?? 0;
  if (children === undefined || isOrphan(pid)) return undefined;
  return parent > 0 ? [parent, ...children] : children;
}

function search(inodes: ReadonlySet<number>, where: readonly number[], stop: boolean, enough: Enough): Owners {
  const owners: Owners = new Map();
  if (inodes.size === 0) return owners;
  const counted = (countFds('self') ?? 0) > 0;
  const crowded: number[] = [];
  const empty: number[] = [];
  for (const pid of where) {
    const fds = countFds(pid);
    if (fds === undefined) continue;
    if (counted && fds === 0) {
      empty.push(pid);
      continue;
    }
    if (fds > MANY_FDS) crowded.push(pid);
    const table = fds > MANY_FDS ? { folder: folderOf(pid), fds: FIRST_FDS } : tableOf(pid);
    const any = collect(pid, table, inodes, owners);
    if (stop && any && enough(owners)) return owners;
  }
  for (const pid of [...crowded, ...empty]) {
    if (enough(owners)) break;
    collect(pid, tableOf(pid), inodes, owners);
  }
  return owners;
}

/** Says whether the process has any of them. */
function collect(pid: number, { folder, fds }: Table, inodes: ReadonlySet<number>, owners: Owners): boolean {
  let any = false;
  for (const fd of fds) {
    const inode = readSocket(folder, fd);
    if (inode === 'forbidden') return any;
    if (inode === undefined || !inodes.has(inode)) continue;
    any = true;
    const holders = owners.get(inode);
    if (!holders) owners.set(inode, [pid]);
    else if (!holders.includes(pid)) holders.push(pid);
  }
  return any;
}

/** Inode of the socket that a process has under this descriptor; undefined where it is no socket, or not to be seen. */
export function socketInode(pid: number | 'self', fd: number | string): number | undefined {
  return visibleSocket(folderOf(pid), fd);
}

function visibleSocket(folder: string, fd: number | string): number | undefined {
  const inode = readSocket(folder, fd);
  return inode === 'forbidden' ? undefined : inode;
}

/** What may not be read of one descriptor may not be read of any of that process (ptrace(2), PTRACE_MODE_READ_FSCREDS). */
function readSocket(folder: string, fd: number | string): number | 'forbidden' | undefined {
  try {
    const target = readlinkSync(`${folder}/${fd}`);
    return target.startsWith('socket:[') ? Number(target.slice(8, -1)) : undefined;
  } catch (error) {
    return isForbidden(error) ? 'forbidden' : undefined;
  }
}

/** A descriptor under which a process has this socket. */
export function fdOfSocket(pid: number, inode: number): number | undefined {
  const { folder, fds } = tableOf(pid);
  const fd = fds.find(name => visibleSocket(folder, name) === inode);
  return fd === undefined ? undefined : Number(fd);
}

/** 0 before Linux 6.2, which was the first to count them; undefined where the process is gone, or not to be looked into. */
function countFds(pid: number | 'self'): number | undefined {
  try {
    return statSync(folderOf(pid)).size;
  } catch {
    return undefined;
  }
}

/** Descriptors, and the folder that shows what they are. */
interface Table {
  folder: string;
  fds: readonly string[];
}

function tableOf(pid: number): Table {
  const own = readTable(folderOf(pid));
  if (own.fds.length > 0) return own;
  const tid = threadWithFds(pid);
  return tid === undefined ? own : readTable(folderOf(pid, tid));
}

/** A thread that has a process's descriptors, where the main thread has ended; undefined where there is none. */
export function threadWithFds(pid: number): number | undefined {
  if (!hasMoreThreads(pid)) return undefined;
  return list(`/proc/${pid}/task`)
    .map(Number)
    .find(tid => readTable(folderOf(pid, tid)).fds.length > 0);
}

/** By the folder's links, two and one for each thread: cheaper than to read it, for every kernel thread of a host. */
function hasMoreThreads(pid: number): boolean {
  return (statSync(`/proc/${pid}/task`, { throwIfNoEntry: false })?.nlink ?? 0) > 3;
}

function folderOf(pid: number | 'self', tid?: number): string {
  return tid === undefined ? `/proc/${pid}/fd` : `/proc/${pid}/task/${tid}/fd`;
}

function readTable(folder: string): Table {
  return { folder, fds: list(folder) };
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Inodes of all sockets that a process has open. */
export function socketInodes(pid: number): Set<number> {
  const { folder, fds } = tableOf(pid);
  return new Set(fds.flatMap(fd => visibleSocket(folder, fd) ?? []));
}
