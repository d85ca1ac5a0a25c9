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
  /** Ends of children that a worker has spawned and not announced yet. */
  readonly #early = new Map<number, ExitStatus>();
  /** Children that libuv of the main thread waits for. */
  readonly #left = new Set<number>();
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

  /** A child is about to be spawned: its end is kept until {@link exitOf} or {@link notSpawned}. */
  expect(): void {
    this.#expected++;
  }

  notSpawned(): void {
    this.#expected--;
    if (this.#expected === 0) this.#early.clear();
  }

  /**
   * The end of the expected child, also when it has ended already.
   *
   * @param elsewhere resolves if a worker's event loop reaps it before we do
   */
  exitOf(pid: number, elsewhere: Promise<ExitStatus>): Promise<ExitStatus> {
    this.#sweep();
    const early = this.#early.get(pid);
    this.notSpawned();
    if (early) return Promise.resolve(early);
    return new Promise(fulfil => {
      this.#waiting.set(pid, fulfil);
      void elsewhere.then(status => this.#announce(pid, status));
    });
  }

  #sweep(): void {
    for (let seen = peekExit(); seen; seen = peekExit()) {
      if (this.#left.has(seen.pid)) {
        // It hides those behind it; libuv reaps it in this turn of the event loop.
        setImmediate(() => this.#sweep());
        return;
      }
      // A worker's event loop may have been faster.
      const exit = reap(seen.pid);
      if (exit) this.#announce(exit.pid, toStatus(exit));
    }
  }

  #announce(pid: number, status: ExitStatus): void {
    const fulfil = this.#waiting.get(pid);
    this.#waiting.delete(pid);
    if (fulfil) fulfil(status);
    else if (this.#expected > 0) this.#early.set(pid, status);
  }
}

const SIGNAL_NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

function toStatus({ code, signal }: Exit): ExitStatus {
  return { code, signal: signal === null ? null : ((SIGNAL_NAMES.get(signal) ?? 'SIGKILL') as NodeJS.Signals) };
}
