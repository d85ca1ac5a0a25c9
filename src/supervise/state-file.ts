import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { SocketAddress } from '../address.ts';
import { startTicks } from '../kernel/procfs.ts';
import type { HeldListener } from './holder.ts';
import type { Home } from './private-directory.ts';

const VERSION = 1;

/** What the next supervisor of the same name must know if this one is killed. */
export interface SavedState {
  version: typeof VERSION;
  /** Pid and start in clock ticks (proc_pid_stat(5)), which together name a process for good. */
  supervisor: { pid: number; startedAt: number };
  generation: { generation: number; pid: number; startedAt: number };
  listeners: { inode: number; address: SocketAddress; netns?: string; pinned: boolean; name?: string }[];
}

/** A generation, and the pid of its main process. */
interface SavedGeneration {
  number: number;
  pid: number;
}

/** The file in which a supervisor writes down what it has, whenever that changes, beside its private directory. */
export class StateFile {
  readonly #home: Pick<Home, 'directory'>;
  readonly #supervisor = { pid: process.pid, startedAt: startTicks(process.pid) ?? 0 };
  /** What is in the file beside it. */
  #prepared: string | undefined;

  constructor(home: Pick<Home, 'directory'>) {
    this.#home = home;
  }

  get #path(): string {
    return `${this.#home.directory}.json`;
  }

  get exists(): boolean {
    return existsSync(this.#path);
  }

  /** Writes down what will probably be saved soon, beside the file, so that this does not take time then. */
  prepare(generation: SavedGeneration, listeners: readonly HeldListener[]): void {
    const text = this.#textOf(generation, listeners);
    if (text === this.#prepared && existsSync(`${this.#path}.new`)) return;
    writeFileSync(`${this.#path}.new`, text, { mode: 0o600 });
    this.#prepared = text;
  }

  save(generation: SavedGeneration, listeners: readonly HeldListener[]): void {
    this.prepare(generation, listeners);
    renameSync(`${this.#path}.new`, this.#path);
    this.#prepared = undefined;
  }

  #textOf({ number, pid }: SavedGeneration, listeners: readonly HeldListener[]): string {
    const state: SavedState = {
      version: VERSION,
      supervisor: this.#supervisor,
      generation: { generation: number, pid, startedAt: startTicks(pid) ?? 0 },
      listeners: listeners.map(({ inode, address, netns, pinned, name }) => ({ inode, address, netns, pinned, name })),
    };
    return JSON.stringify(state);
  }

  /** What a supervisor that is gone left behind; undefined where there is nothing, or it is still alive. */
  load(): SavedState | undefined {
    let state: SavedState;
    try {
      state = JSON.parse(readFileSync(this.#path, 'utf8')) as SavedState;
    } catch {
      return undefined; // none, or cut short with its writer: nothing to go by
    }
    if (state.version !== VERSION) return undefined;
    const { pid, startedAt } = state.supervisor;
    return startTicks(pid) === startedAt ? undefined : state;
  }

  remove(): void {
    for (const path of [this.#path, `${this.#path}.new`]) rmSync(path, { force: true });
  }
}
