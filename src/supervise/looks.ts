import { hear } from '../kernel/deaf.ts';
import { failureOf } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import { duplicateSocketOf } from '../kernel/pidfd.ts';
import { ownersOf } from '../kernel/proc-fd.ts';

/**
 * Who opens a listener to see whether its port is free closes it at once, in the callback that says that it listens (vite,
 * get-port, detect-port, portfinder). What is open after so long is none of these.
 */
const LOOK_MS = 500;

/** A listener that a program keeps open, as seen from outside. */
export interface KeptListener {
  pid: number;
  targetFd: number;
  /** Our duplicate, until {@link LooksHost.onKept} returns. */
  fd: number;
  inode: number;
}

export interface LooksHost {
  /** It is no look: from here on it hears its clients. */
  onKept(listener: KeptListener): void;
  /** Something that the user should know, a sentence. */
  onNotice(text: string): void;
}

/**
 * Listeners that a generation has opened beside held ones (beside.ts), and of which it is not known yet whether they stay. We
 * have no descriptor of them meanwhile: it would keep their addresses from the program once it has closed them.
 */
export class Looks {
  readonly #open = new Map<number, Promise<void>>();
  readonly #host: LooksHost;

  constructor(host: LooksHost) {
    this.#host = host;
  }

  add(inode: number): void {
    if (this.#open.has(inode)) return;
    const known = new Promise<void>(fulfil => {
      setTimeout(() => {
        this.#decide(inode);
        fulfil();
      }, LOOK_MS).unref();
    });
    this.#open.set(inode, known);
  }

  /** Resolves when it is known of each that is there now: at once where all are closed. */
  async known(): Promise<void> {
    if (this.#open.size === 0) return;
    const inodes = new Set(this.#open.keys());
    const owners = ownersOf(inodes);
    for (const inode of inodes) if (!owners.has(inode)) this.#open.delete(inode);
    await Promise.all(this.#open.values());
  }

  #decide(inode: number): void {
    if (!this.#open.delete(inode)) return;
    const [pid] = ownersOf(new Set([inode])).get(inode) ?? [];
    if (pid === undefined) return;
    try {
      const socket = duplicateSocketOf(pid, inode);
      if (socket) this.#keep({ ...socket, pid, inode });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#host.onNotice(`pid ${pid} listens where relisten cannot reach it, and may hear nobody: ${why}`);
    }
  }

  #keep(listener: KeptListener): void {
    try {
      failureOf(() => hear(listener.fd)); // it may never have been deaf
      this.#host.onKept(listener);
    } finally {
      close(listener.fd);
    }
  }
}
