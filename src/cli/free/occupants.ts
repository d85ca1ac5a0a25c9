import { reasonOf } from '../../bind/failure.ts';
import type { Inspection, ProcessFacts, SocketFacts } from '../../inspection.ts';

/** What is to be done to free an address. */
export type Plan =
  | { do: 'nothing' }
  /** Ask these to stop; `all` are those who have the sockets open, of whom `ask` are the parents. */
  | { do: 'stop'; ask: ProcessFacts[]; all: ProcessFacts[] }
  /** Nobody has it: only what the kernel keeps of dead connections, or a stale file. */
  | { do: 'clean' }
  | { do: 'refuse'; why: string };

/** Processes that must never be stopped: ourselves and whoever we run under. */
export interface Sacred {
  pid: number;
  ancestors: readonly number[];
}

/**
 * Whom to stop, from what was seen. The first row that applies:
 *
 * | what has the address                              | plan                                        |
 * |---------------------------------------------------|---------------------------------------------|
 * | nothing                                           | nothing                                     |
 * | a plain file, no right, no such address           | refuse: stopping somebody would not help    |
 * | a socket whose process cannot be named            | refuse                                      |
 * | pid 1, ourselves, an ancestor of ours             | refuse                                      |
 * | a client that was given the port                  | refuse, unless forced                       |
 * | processes                                         | stop: ask those whose parent is not one of them |
 * | nobody                                            | clean                                       |
 */
export function planFree(report: Inspection, sacred: Sacred, force: boolean): Plan {
  const { reason } = report;
  if (reason === 'free') return { do: 'nothing' };
  if (reason === 'not-a-socket' || reason === 'no-right' || reason === 'no-such-address') {
    return { do: 'refuse', why: reasonOf(report) };
  }
  const sockets = [...report.listeners, ...report.blockers];
  const all = ownersOf(sockets);
  const refusal =
    refuse(sockets, all, sacred) ?? (reason === 'ephemeral-client' && !force ? reasonOf(report) : undefined);
  if (refusal !== undefined) return { do: 'refuse', why: refusal };
  if (all.length === 0) return { do: 'clean' };
  return { do: 'stop', ask: all.filter(({ ppid }) => !all.some(({ pid }) => pid === ppid)), all };
}

function ownersOf(sockets: readonly SocketFacts[]): ProcessFacts[] {
  return [...new Map(sockets.flatMap(({ owners }) => owners).map(owner => [owner.pid, owner])).values()];
}

function refuse(
  sockets: readonly SocketFacts[],
  owners: readonly ProcessFacts[],
  { pid, ancestors }: Sacred,
): string | undefined {
  if (sockets.some(({ inode, owners }) => inode !== 0 && owners.length === 0)) {
    return "the process that has it cannot be named: it is another user's, which root could name, or in another container";
  }
  const found = (test: (owner: ProcessFacts) => boolean) => owners.find(test);
  if (found(owner => owner.pid === 1)) return 'process 1 has it: it runs this system';
  if (found(owner => owner.pid === pid)) return 'this process itself has it';
  const ancestor = found(owner => ancestors.includes(owner.pid));
  return ancestor && `this command runs under ${ancestor.command} (pid ${ancestor.pid}), which has it`;
}
