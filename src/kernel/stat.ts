import { type BigIntStats, fstatSync, lstatSync } from 'node:fs';

/*
 * Which file something is, asked for as BigInts. What is asked for as numbers stays in a place where Node 20 and 22 look while
 * they follow symbolic links for require() and import(), and if it was a socket or a pipe, they follow no more
 * (https://github.com/nodejs/node/issues/51142): a package that a program loads later does not find its own, as pnpm has them.
 */

/** The file of this name, a symbolic link itself; undefined where there is none. */
export function fileAt(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

/** The file that is open. @throws the file system's error */
export function fileOf(fd: number): BigIntStats {
  return fstatSync(fd, { bigint: true });
}

/** Number of the inode: for a socket that of the socket, as the kernel's tables have it (proc_net_tcp(5), sock_diag(7)). */
export function inodeOf(fd: number): number {
  return Number(fileOf(fd).ino);
}

/** Whether the path still names this file, and not a successor's. */
export function isSameFile(path: string, file: BigIntStats): boolean {
  const now = fileAt(path);
  return now !== undefined && now.dev === file.dev && now.ino === file.ino;
}
