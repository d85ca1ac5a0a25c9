import { join } from 'node:path';
import { formatAddress } from '../address.ts';
import { startTicks } from '../kernel/procfs.ts';
import { isClaimed } from '../supervise/claim.ts';
import { namesWith } from '../supervise/runtime-dir.ts';
import { StateFile } from '../supervise/state-file.ts';

/** A server whose supervisor was killed, and that goes on serving. */
export interface Orphan {
  /** What its supervisor was called. */
  name: string;
  /** Of its main process. */
  pid: number;
  listeners: { inode: number; address: string }[];
}

const STATE = '.d.json';

/** The servers that killed supervisors have left in a runtime directory, by name. */
export function findOrphans(runtime: string): Orphan[] {
  return namesWith(STATE, runtime)
    .filter(name => !isClaimed(runtime, name))
    .sort()
    .flatMap(name => {
      const state = new StateFile({ directory: join(runtime, `${name}.d`) }).load();
      if (!state || startTicks(state.generation.pid) !== state.generation.startedAt) return [];
      const listeners = state.listeners.map(({ inode, address }) => ({ inode, address: formatAddress(address) }));
      return [{ name, pid: state.generation.pid, listeners }];
    });
}

/** A sentence: what is left, and what to do. */
export function describeOrphan({ name, pid, listeners }: Orphan): string {
  const where = listeners.map(({ address }) => address).join(', ');
  return `${name} was left by a relisten that was killed: pid ${pid} serves on ${where}; \`relisten run --name ${name} -- <command>\` takes over from it`;
}
