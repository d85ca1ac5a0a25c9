import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { arch } from './constants.ts';

/*
 * epoll(7): what epoll_ctl(2) takes, and what a process's instances know (proc_pid_fdinfo(5)).
 */

export const EPOLL_CLOEXEC = 0o2000000;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;

/** struct epoll_event, on x86-64 alone without padding in front of the data; EPOLLHUP and EPOLLERR come unasked. */
export function encodeEpollEvent(events = 0, data = 0n): Buffer {
  const event = Buffer.alloc(16);
  event.writeUInt32LE(events);
  event.writeBigUInt64LE(data, arch().epollDataAt);
  return event;
}

/** What a process has told an epoll instance of one of its sockets (epoll_ctl(2)). */
export interface EpollEntry {
  /** The process's descriptor of the instance. */
  epoll: number;
  /** Its descriptor of the socket: with that, the instance knows the socket again. */
  fd: number;
  /** Of the socket. */
  inode: number;
  /** As in struct epoll_event. */
  events: number;
  data: bigint;
}

/** Where a process has a socket. */
export interface SocketUses {
  fds: number[];
  entries: EpollEntry[];
}

/**
 * Every descriptor of a socket in a process, and every epoll instance there that watches it (proc_pid_fd(5),
 * proc_pid_fdinfo(5)).
 *
 * @param pid or the id of one of its threads
 * @throws where the process is gone, or not to be looked into
 */
export function usesOfSocket(pid: number, inode: number): SocketUses {
  const fds: number[] = [];
  const epolls: number[] = [];
  for (const fd of readdirSync(`/proc/${pid}/fd`).map(Number)) {
    const link = linkOf(pid, fd);
    if (link === `socket:[${inode}]`) fds.push(fd);
    else if (link === 'anon_inode:[eventpoll]') epolls.push(fd);
  }
  const entries = epolls
    .flatMap(epoll => entriesOf(pid, epoll))
    .filter(entry => entry.inode === inode && fds.includes(entry.fd));
  return { fds, entries };
}

/** Undefined for one that was closed meanwhile. */
function linkOf(pid: number, fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return undefined;
  }
}

/**
 * Inodes of what an epoll instance of a process would tell of when there is something to read or accept.
 *
 * @param pid or the id of one of its threads
 * @throws where the instance or the process is gone, or not to be looked into
 */
export function readablesOf(pid: number, epoll: number): number[] {
  return entriesOf(pid, epoll)
    .filter(({ events }) => (events & EPOLLIN) !== 0)
    .map(({ inode }) => inode);
}

const ENTRY = /^tfd:\s+(\d+)\s+events:\s+([\da-f]+)\s+data:\s+([\da-f]+).*\sino:([\da-f]+)/gm;

function entriesOf(pid: number, epoll: number): EpollEntry[] {
  const info = readFileSync(`/proc/${pid}/fdinfo/${epoll}`, 'utf8');
  return [...info.matchAll(ENTRY)].map(([, fd, events, data, inode]) => ({
    epoll,
    fd: Number(fd),
    events: Number.parseInt(events ?? '', 16),
    data: BigInt(`0x${data}`),
    inode: Number.parseInt(inode ?? '', 16),
  }));
}
