import { readFileSync } from 'node:fs';
import { type Address, formatAddress, type SocketAddress } from '../address.ts';
import { overlaps } from '../bind/overlap.ts';
import { RelistenError } from '../errors.ts';
import { relistenAmong } from '../inspect/supervisor.ts';
import { codeOf } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import { pidfdGetfd, pidfdOpen, pidfdOpenThread } from '../kernel/pidfd.ts';
import { POLLIN, type Poller } from '../kernel/poll.ts';
import { fdOfSocket, ownersOf, threadWithFds } from '../kernel/proc-fd.ts';
import { readUnixTable } from '../kernel/proc-net.ts';
import { allProcessIds } from '../kernel/process.ts';
import { processFacts, startTicks } from '../kernel/procfs.ts';
import { dumpTcp } from '../kernel/sock-diag.ts';
import { familyOf } from './family.ts';
import { type HeldListener, type Holder, keepPath } from './holder.ts';
import { toSocketAddress } from './ports.ts';
import type { SavedState } from './state-file.ts';

/** A server that relisten did not start, or no longer remembers: what of it is held, and by whom it is run. */
export interface Adopted {
  /** What the generation is called that it becomes. */
  generation: number;
  /** Its topmost process. */
  pid: number;
  listeners: HeldListener[];
}

/** A listener to take over, and what is known of it beside what the kernel tells. */
interface Wanted {
  inode: number;
  address: SocketAddress;
  netns?: string;
  pinned?: boolean;
  name?: string;
}

/**
 * What a supervisor left behind that was killed: its generation still serves, and its listeners are duplicated
 * (pidfd_getfd(2)). The process must be the one that was written down: same pid, same start, same user.
 *
 * @returns undefined where nothing of it is left
 */
export function adoptOrphan(state: SavedState, holder: Holder): Adopted | undefined {
  const { generation, pid, startedAt } = state.generation;
  const ticks = startTicks(pid);
  if (ticks !== undefined && ticks !== startedAt) return undefined; // the pid means another process by now
  // Where the main process is gone, others of its session may still serve.
  const family = familyOf(pid, allProcessIds());
  if (family.length === 0) return undefined;
  const pids = family.map(ids => ids.pid);
  const listeners = state.listeners.flatMap(wanted => duplicateFrom(pids, wanted, holder) ?? []);
  return { generation, pid, listeners };
}

/**
 * The listener of a live server that was never under relisten. Its owner is the topmost of the processes that have it:
 * the one whose end is the server's end.
 *
 * @throws RelistenError where nobody listens there, or we may not look into who does
 */
export async function adoptServer(address: Address, holder: Holder): Promise<Adopted> {
  const shown = formatAddress(address);
  const wanted = await listenersAt(address);
  if (wanted.length === 0) {
    throw new RelistenError(`Cannot take ${shown}: nothing listens there`, {
      code: 'ERR_NOT_LISTENING',
      op: 'take',
      address: shown,
    });
  }
  const owners = ownersOf(new Set(wanted.map(each => each.inode)));
  const pids = [...new Set([...owners.values()].flat())].filter(pid => pid !== process.pid);
  if (pids.length === 0) {
    throw new RelistenError(
      `Cannot take ${shown}: the process that listens there is not to be seen; it may be another user's`,
      {
        code: 'EPERM',
        op: 'take',
        address: shown,
      },
    );
  }
  const pid = topmost(pids);
  refuseToTake(pid, shown);
  const listeners = wanted.map(each => {
    const held = duplicateFrom(owners.get(each.inode) ?? pids, each, holder);
    if (held) return held;
    throw cannotDuplicate(shown, pid);
  });
  return { generation: 0, pid, listeners };
}

async function listenersAt(address: Address): Promise<Wanted[]> {
  if ('path' in address) {
    const found = readUnixTable().filter(each => each.path === address.path && each.state === 'LISTEN');
    return found.map(({ inode }) => ({ inode, address: { family: 'unix', path: address.path } }));
  }
  const asked = address.host === undefined ? undefined : await toSocketAddress(address);
  const found = dumpTcp({ localPort: address.port, states: ['LISTEN'] });
  const meant = found.filter(socket => !asked || overlaps({ address: asked }, { address: socket.local }));
  return meant.map(({ inode, local }) => ({ inode, address: local }));
}

function topmost(pids: number[]): number {
  const all = new Map(allProcessIds().map(ids => [ids.pid, ids]));
  const [first = 0] = pids.filter(pid => !pids.includes(all.get(pid)?.ppid ?? 0)).sort((a, b) => a - b);
  return first;
}

/** Those who may not be stopped at the end of it. */
function refuseToTake(pid: number, shown: string): void {
  const facts = processFacts(pid);
  const isRelisten = facts !== undefined && relistenAmong([facts]) !== undefined;
  const why =
    pid === 1
      ? 'pid 1 listens there (systemd, where a socket unit holds it)'
      : isRelisten
        ? `a relisten holds it already (pid ${pid}): relisten restart is what you want`
        : undefined;
  if (why)
    throw new RelistenError(`Cannot take ${shown}: ${why}`, { code: 'ERR_NOT_TAKEN', op: 'take', address: shown });
}

function duplicateFrom(pids: readonly number[], wanted: Wanted, holder: Holder): HeldListener | undefined {
  for (const pid of pids) {
    const targetFd = fdOfSocket(pid, wanted.inode);
    if (targetFd === undefined) continue;
    const pidfd = pidfdOpenThread(threadWithFds(pid) ?? pid, pid);
    try {
      const listener = holder.hold(pidfdGetfd(pidfd, targetFd), wanted);
      keepPath(listener);
      return listener;
    } catch (error) {
      if (codeOf(error) === 'EPERM') throw cannotDuplicate(formatAddress(wanted.address), pid);
      throw error;
    } finally {
      close(pidfd);
    }
  }
  return undefined;
}

function cannotDuplicate(shown: string, pid: number): RelistenError {
  const command = processFacts(pid)?.command ?? 'its owner';
  return new RelistenError(
    `Cannot take ${shown} from ${command} (pid ${pid}): this needs the right to trace it: the same user and no hardening (ptrace_scope), or root`,
    { code: 'EPERM', op: 'pidfd_getfd', address: shown },
  );
}

/** The systemd service that a process belongs to: it would start the server again. */
export function serviceOf(pid: number): string | undefined {
  try {
    return /\/([^/\n]+\.service)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

/** Calls back once when a process that is not our child has ended (pidfd_open(2)). */
export function watchEnd(pid: number, poller: Poller, onEnd: () => void): void {
  let pidfd: number;
  try {
    pidfd = pidfdOpen(pid);
  } catch {
    setImmediate(onEnd); // it has ended already
    return;
  }
  poller.add(pidfd, POLLIN, () => {
    poller.remove(pidfd);
    close(pidfd);
    onEnd();
  });
}
