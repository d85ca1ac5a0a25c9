import { type FSWatcher, linkSync, lstatSync, renameSync, rmSync, watch } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * Keeps a unix socket reachable by its path while servers unlink it: the usual unlink before bind, and Node's unlink on
 * close. A path is a directory entry of an inode (unix(7)), so a hard link beside it keeps the inode, and the name is
 * put back from there.
 */
export class UnixPath {
  readonly #path: string;
  readonly #link: string;
  readonly #inode: number;
  #watcher: FSWatcher | undefined;

  /** @throws the file system's error where no hard link can be made beside the path */
  constructor(path: string) {
    this.#path = path;
    this.#link = join(dirname(path), `.${basename(path)}.relisten`);
    rmSync(this.#link, { force: true });
    linkSync(path, this.#link);
    this.#inode = lstatSync(this.#link).ino;
    this.#watcher = watch(dirname(path), { persistent: false }, (_event, name) => {
      if (name === null || name === basename(path)) this.restore();
    });
    this.#watcher.on('error', () => this.#watcher?.close()); // the directory is gone, and with it the path
  }

  /** Puts the name back if it is missing. A name that means another file by now is somebody else's, and stays. */
  restore(): void {
    if (lstatSync(this.#path, { throwIfNoEntry: false })) return;
    try {
      linkSync(this.#link, this.#path);
    } catch {
      // EEXIST: somebody was faster; ENOENT: the directory is gone.
    }
  }

  /** Puts the name back even over another file: a generation that bound it anew is getting the held socket instead. */
  claim(): void {
    if (lstatSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode) return;
    const spare = `${this.#link}.new`;
    rmSync(spare, { force: true });
    linkSync(this.#link, spare);
    renameSync(spare, this.#path);
  }

  /** Removes the hard link, and leaves the name to whoever serves there. */
  leave(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    rmSync(this.#link, { force: true });
  }

  /** Removes the hard link and the name, if it still means our socket. */
  close(): void {
    this.leave();
    if (lstatSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode) rmSync(this.#path, { force: true });
  }
}
