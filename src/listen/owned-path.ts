import { closeSync, constants, openSync, unlinkSync } from 'node:fs';
import { fileOf, isSameFile } from '../kernel/stat.ts';

/** asm-generic/fcntl.h; Node does not name it. A socket's file cannot be opened otherwise (open(2)). */
const O_PATH = 0o10000000;

/**
 * The file of a unix socket that we have bound. It is held open, so that its inode number cannot come to mean the file of
 * a successor: that is given out again as soon as it is free (seen on ext4).
 */
export class OwnedPath {
  readonly #path: string;
  #fd: number;

  /** @param path of a socket that was bound just now */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
  }

  /** Removes the file, unless a successor has taken the name. A second call does nothing. */
  release(): void {
    if (this.#fd === -1) return;
    const fd = this.#fd;
    this.#fd = -1;
    try {
      if (isSameFile(this.#path, fileOf(fd))) unlinkSync(this.#path);
    } finally {
      closeSync(fd);
    }
  }
}
