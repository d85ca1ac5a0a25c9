import { constants } from 'node:os';
import { becomeSubreaper, type Exit, peekExit, reap } from '../kernel/process.ts';
import type { ExitStatus } from './generation.ts';

/**
 * Reaps every child of this process: the commands, and the orphans below them, which come to us as pid 1 or subreaper
 * (PR_SET_CHILD_SUBREAPER, prctl(2)). Looks first and reaps then (WNOWAIT, waitid(2)): children of node:child_process on
 * the main thread must be announced by {@link Reaper.leave}, and are left to libuv.
 */
export class Reaper {
  readonly #waiting = new Map<number, (exit: ExitStatus) => void>();
  /** Children that libuv of the main thread waits for. */
  readonly #left = new Set<number>();
  /** Spawns under way, of children whose pids we do not know yet. */
  #expected = 0;
  readonly #onChild = () => this.#sweep();

  start(): void {
    becomeSubreaper();
    process.on('SIGCHLD', this.#onChild);
  }

  stop(): void {
    process.off('SIGCHLD', this.#onChild);
  }

  /** Leaves a child of node:child_process to libuv, until it has seen its end. */
  leave(pid: number, ended: Promise<unknown>): void {
    this.#left.add(pid);
    void ended.then(() => this.#left.delete(pid));
  }

  /** A child is about to be spawned: strangers are left alone until {@link exitOf} or {@link notSpawned}. */
  expect(): void {
    this.#expected++;
  }

  notSpawned(): void {
    this.#expected--;
    this.#sweep();
  }

  /**
   * The end of the expected child, also when it has ended already.
   *
   * @param elsewhere resolves if a worker's event loop reaps it before we do
   */
  exitOf(pid: number, elsewhere: Promise<ExitStatus>): Promise<ExitStatus> {
    return new Promise(fulfil => {
      this.#waiting.set(pid, fulfil);
      void elsewhere.then(status => this.#announce(pid, status));
      this.#expected--;
      this.#sweep();
    });
  }

  /** A child whose execve(2) fails ends too, and libuv aborts the process if somebody else has reaped that one. */
  #sweep(): void {
    if (this.#expected > 0) {
      for (const pid of [...this.#waiting.keys()]) this.#reap(pid);
      return;
    }
    for (let seen = peekExit(); seen; seen = peekExit()) {
      if (this.#left.has(seen.pid)) {
        // It hides those behind it; libuv reaps it in this turn of the event loop.
        setImmediate(() => this.#sweep());
        return;
      }
      this.#reap(seen.pid);
    }
  }

  #reap(pid: number): void {
    const exit = reap(pid); // a worker's event loop may have been faster
    if (exit) this.#announce(pid, toStatus(exit));
  }

  #announce(pid: number, status: ExitStatus): void {
    this.#waiting.get(pid)?.(status);
    this.#waiting.delete(pid);
  }
}

const SIGNAL_NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

function toStatus({ code, signal }: Exit): ExitStatus {
  return { code, signal: signal === null ? null : ((SIGNAL_NAMES.get(signal) ?? 'SIGKILL') as NodeJS.Signals) };
}
