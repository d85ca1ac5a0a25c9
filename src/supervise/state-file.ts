import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { SocketAddress } from '../address.ts';
import { startTicks } from '../kernel/procfs.ts';
import type { HeldListener } from './holder.ts';

const VERSION = 1;

/** What the next supervisor of the same name must know if this one is killed. */
export interface SavedState {
  version: typeof VERSION;
  /** Pid and start in clock ticks (proc_pid_stat(5)), which together name a process for good. */
  supervisor: { pid: number; startedAt: number };
  generation: { generation: number; pid: number; startedAt: number };
  listeners: { inode: number; address: SocketAddress; netns?: string; pinned: boolean; name?: string }[];
}

/** The file in which a supervisor writes down what it has, whenever that changes. Its directory is the user's own. */
export class StateFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  save(generation: { number: number; pid: number }, listeners: readonly HeldListener[]): void {
    const state: SavedState = {
      version: VERSION,
      supervisor: { pid: process.pid, startedAt: startTicks(process.pid) ?? 0 },
      generation: {
        generation: generation.number,
        pid: generation.pid,
        startedAt: startTicks(generation.pid) ?? 0,
      },
      listeners: listeners.map(({ inode, address, netns, pinned, name }) => ({ inode, address, netns, pinned, name })),
    };
    writeFileSync(`${this.#path}.new`, JSON.stringify(state), { mode: 0o600 });
    renameSync(`${this.#path}.new`, this.#path);
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
    rmSync(this.#path, { force: true });
  }
}
