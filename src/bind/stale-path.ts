import { unlinkSync } from 'node:fs';
import { failureOf, type KernelError } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import { readUnixTable } from '../kernel/proc-net.ts';
import { connect, socket } from '../kernel/socket.ts';
import { fileAt, isSameFile } from '../kernel/stat.ts';

/** What a unix path that cannot be bound leads to. */
export type PathState = 'gone' | 'not-a-socket' | 'stale' | 'live';

/**
 * Whether anybody is behind the socket file of this name: the path is a name of the inode, not of the socket, and stays
 * when the socket goes (unix(7), NOTES).
 *
 * | what is there                                            | answer       |
 * |----------------------------------------------------------|--------------|
 * | nothing any more                                         | gone         |
 * | anything but a socket                                    | not-a-socket |
 * | connect(2) is refused, and no bound socket has the name  | stale        |
 * | anything else: connected, queue full, no right, datagram | live         |
 */
export function stateOfPath(path: string): PathState {
  // An abstract name goes with its socket: nothing stale is ever left of it.
  if (path.startsWith('\0')) return 'live';
  const file = fileAt(path);
  if (!file) return 'gone';
  if (!file.isSocket()) return 'not-a-socket';
  const error = attemptConnect(path);
  if (error?.code === 'ENOENT') return 'gone';
  if (error?.code !== 'ECONNREFUSED') return 'live';
  // Refused by a socket that is bound and does not listen yet, too.
  return readUnixTable().some(socket => socket.path === path && socket.state === 'CLOSE') ? 'live' : 'stale';
}

function attemptConnect(path: string): KernelError | undefined {
  const fd = socket('unix', { nonblocking: true });
  try {
    return failureOf(() => connect(fd, { family: 'unix', path }));
  } finally {
    close(fd);
  }
}

/** Removes the file of a stale socket, unless another has taken its name meanwhile. */
export function removeStalePath(path: string): boolean {
  const before = path.startsWith('\0') ? undefined : fileAt(path);
  if (!before || stateOfPath(path) !== 'stale' || !isSameFile(path, before)) return false;
  unlinkSync(path);
  return true;
}
