import type { ChildProcess } from 'node:child_process';
import { becomeSubreaper, peekExit, reap } from '../kernel/process.ts';
import type { ExitStatus } from './generation.ts';

/**
 * Reaps the orphans below us, which come to us as pid 1 or subreaper (PR_SET_CHILD_SUBREAPER, prctl(2)). Looks first and
 * reaps then (WNOWAIT, waitid(2)): children of node:child_process are announced by {@link Reaper.leave}, and left to
 * libuv, which aborts the process where somebody else has reaped one.
 */
export class Reaper {
  /** Children that libuv waits for. */
  readonly #left = new Set<number>();
  /** Orphans whose end somebody waits for. */
  readonly #followed = new Map<number, (exit: ExitStatus) => void>();
  readonly #onChild = () => this.#sweep();

  start(): void {
    becomeSubreaper();
    process.on('SIGCHLD', this.#onChild);
  }

  stop(): void {
    process.off('SIGCHLD', this.#onChild);
  }

  /** Leaves a child to libuv until it has seen its end; to be called in the turn of the event loop that spawned it. */
  leave(child: ChildProcess): void {
    const { pid } = child;
    if (pid === undefined) return;
    this.#left.add(pid);
    child.once('exit', () => this.#left.delete(pid));
  }

  /** Calls back once when an orphan that has come to us has ended, and was reaped; to be called while it lives. */
  follow(pid: number, onExit: (exit: ExitStatus) => void): void {
    this.#followed.set(pid, onExit);
  }

  #sweep(): void {
    for (let seen = peekExit(); seen !== undefined; seen = peekExit()) {
      if (this.#left.has(seen)) {
        // It hides those behind it; libuv reaps it in this turn of the event loop.
        setImmediate(() => this.#sweep());
        return;
      }
      const exit = reap(seen);
      const onExit = this.#followed.get(seen);
      this.#followed.delete(seen);
      if (exit) onExit?.(exit);
    }
  }
}
