import { constants, type FSWatcher, linkSync, lstatSync, openSync, renameSync, unlinkSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { O_PATH } from '../kernel/constants.ts';
import { close } from '../kernel/fd.ts';
import { fileAt } from '../kernel/stat.ts';
import { dumpUnix, fileIdentity, sameFile } from '../kernel/unix-diag.ts';

/**
 * Keeps a unix socket reachable by its path while servers unlink it: the usual unlink before bind, and Node's unlink on
 * close. A path is a directory entry of an inode (unix(7)), so a hard link beside it keeps the inode, and the name is
 * put back from there.
 *
 * A program chooses the path, and may be another user's where we are root: it could put a symbolic link in the place of a
 * directory of the path. So everything happens in the directory that was opened once, and only if the file there is the
 * one that the kernel says the socket is bound to.
 */
export class UnixPath {
  readonly #directory: number;
  readonly #name: string;
  readonly #link: string;
  readonly #inode: bigint;
  #watcher: FSWatcher | undefined;
  #hidden = false;
  #closed = false;

  /**
   * @param socket inode of the socket itself, not of its file
   * @throws Error where the file is another one by now; the file system's error where no hard link can be made beside it
   */
  constructor(path: string, socket: number) {
    this.#directory = openSync(dirname(path), O_PATH | constants.O_DIRECTORY);
    this.#name = this.#at(basename(path));
    this.#link = this.#at(`.${basename(path)}.relisten`);
    try {
      requireFileOf(socket, this.#name);
      remove(this.#link);
      linkSync(this.#name, this.#link);
      this.#inode = lstatSync(this.#link, { bigint: true }).ino;
      this.#watch(basename(path));
    } catch (error) {
      close(this.#directory);
      throw error;
    }
  }

  /** proc_pid_fd(5): what is there is looked up in that very directory. */
  #at(name: string): string {
    return `/proc/self/fd/${this.#directory}/${name}`;
  }

  #watch(own: string): void {
    this.#watcher = watch(this.#at('.'), { persistent: false }, (_event, name) => {
      if (name === null || name === own) this.restore();
    });
    this.#watcher.on('error', () => this.#watcher?.close()); // the directory is gone, and with it the path
  }

  /** Puts the name back if it is missing. A name that means another file by now is somebody else's, and stays. */
  restore(): void {
    if (this.#closed || this.#hidden || fileAt(this.#name)) return;
    try {
      linkSync(this.#link, this.#name);
    } catch {
      // EEXIST: somebody was faster; ENOENT: the directory is gone.
    }
  }

  /** Removes the name, if it means our socket, until it is shown or claimed: clients that come are refused, who waits goes on. */
  hide(): void {
    this.#hidden = true;
    this.#removeName();
  }

  show(): void {
    this.#hidden = false;
    this.restore();
  }

  /**
   * Puts the name back even over another file: a generation that bound it anew is getting the held socket instead. Not over
   * another user's, which in a directory with the sticky bit nobody but root could remove.
   */
  claim(): void {
    this.#hidden = false;
    const there = fileAt(this.#name);
    if (there && (there.ino === this.#inode || there.uid !== lstatSync(this.#link, { bigint: true }).uid)) return;
    const spare = `${this.#link}.new`;
    remove(spare);
    linkSync(this.#link, spare);
    renameSync(spare, this.#name);
  }

  /** Removes the hard link, and leaves the name to whoever serves there. */
  leave(): void {
    this.#end(false);
  }

  /** Removes the hard link and the name, if it still means our socket. */
  close(): void {
    this.#end(true);
  }

  #end(withName: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watcher?.close();
    remove(this.#link);
    if (withName) this.#removeName();
    close(this.#directory);
  }

  #removeName(): void {
    if (fileAt(this.#name)?.ino === this.#inode) remove(this.#name);
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It is gone.
  }
}

/**
 * Whether a socket that was bound to a path is still to be found there, as far as the kernel tells: servers bind a temporary
 * name, and rename it when they listen (haproxy).
 *
 * @param socket inode of the socket itself, not of its file
 */
export function isStillAt(path: string, socket: number): boolean {
  const here = fileIdentity(path);
  if (!here) return false;
  const bound = fileOf(socket);
  return !bound || sameFile(here, bound);
}

/**
 * An ordinary user can do nothing here that the program could not. As root we go by nothing less than the kernel's word,
 * which it does not give for other network namespaces, without unix_diag, and for some overlays of several file systems.
 */
function requireFileOf(socket: number, path: string): void {
  const here = fileIdentity(path);
  if (!here) throw new Error('the file is another one by now');
  if (process.geteuid?.() !== 0) return;
  const bound = fileOf(socket);
  if (!bound || !sameFile(here, bound))
    throw new Error('the kernel does not say that the socket is bound to this file');
}

function fileOf(socket: number): ReturnType<typeof fileIdentity> {
  try {
    return dumpUnix().find(({ inode }) => inode === socket)?.file;
  } catch {
    return undefined;
  }
}
