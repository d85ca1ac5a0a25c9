import { readFileSync } from 'node:fs';
import { type Address, formatAddress, type SocketAddress } from '../address.ts';
import { overlaps } from '../bind/overlap.ts';
import { RelistenError } from '../errors.ts';
import { relistenAmong } from '../inspect/supervisor.ts';
import { allListeners } from '../kernel/all-listeners.ts';
import { codeOf } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import { duplicateSocketOf, pidfdOpen } from '../kernel/pidfd.ts';
import { POLLIN, type Poller } from '../kernel/poll.ts';
import { ownersOf, socketInodes } from '../kernel/proc-fd.ts';
import { readUnixTable } from '../kernel/proc-net.ts';
import { allProcessIds, descendants } from '../kernel/process.ts';
import { environmentOf, processFacts, startTicks } from '../kernel/procfs.ts';
import { dumpTcp } from '../kernel/sock-diag.ts';
import { isDebugger, isPrivate } from './bystander.ts';
import { hasAny } from './clients.ts';
import { familyOf, isWrapper } from './family.ts';
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
  /** What of it cannot be held, in sentences. */
  notices: string[];
}

/** A listener to take over, and what is known of it beside what the kernel tells. */
interface Wanted {
  inode: number;
  address: SocketAddress;
  netns?: string;
  pinned?: boolean;
  name?: string;
  debugger?: boolean;
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
  return { generation, pid, listeners, notices: [] };
}

/** A generation of a supervisor that was killed, which is not to go on. */
export interface LeftBehind {
  generation: number;
  /** Of its main process. */
  pid: number;
}

/**
 * What else such a supervisor left: a younger generation that had not come to be ready, or an older one that had yet to be told
 * to end. Nobody would end them, and they may accept clients of the held listeners for good. They lead sessions of their own, and
 * were started with the supervisor's directory; of several of a generation the oldest is its main process. An older one that has
 * no held listener open any more is on its way out, and a second stop signal might cut that short.
 *
 * @param directory RELISTEN_DIR of its generations
 */
export function leftBeside({ generation, listeners }: Adopted, directory: string): LeftBehind[] {
  const all = allProcessIds();
  const inodes = new Set(listeners.map(({ inode }) => inode));
  const mayAccept = (pid: number) => familyOf(pid, all).some(ids => hasAny(ids.pid, inodes));
  const leaders = all.filter(({ pid, sid, zombie }) => pid === sid && !zombie);
  const found = new Map<number, number>();
  for (const { pid } of leaders.sort((a, b) => (startTicks(a.pid) ?? 0) - (startTicks(b.pid) ?? 0))) {
    const number = generationOf(pid, directory);
    if (number === undefined || number === generation || found.has(number)) continue;
    if (number > generation || mayAccept(pid)) found.set(number, pid);
  }
  return [...found].map(([number, pid]) => ({ generation: number, pid }));
}

function generationOf(pid: number, directory: string): number | undefined {
  const environment = environmentOf(pid);
  if (!environment.includes(`RELISTEN_DIR=${directory}`)) return undefined;
  const variable = environment.find(text => /^RELISTEN_GENERATION=\d+$/.test(text));
  return variable === undefined ? undefined : Number(variable.replace(/^.*=/, ''));
}

/**
 * The listener of a live server that was never under relisten, and all others that it has.
 *
 * @throws RelistenError where nobody listens there, several servers do, or we may not look into who does
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
  const pid = mainOf(pids, shown);
  refuseToTake(pid, shown);
  const listeners = wanted.map(each => {
    const held = duplicateFrom(owners.get(each.inode) ?? pids, each, holder);
    if (held) return held;
    throw cannotDuplicate(shown, pid);
  });
  return { generation: 0, pid, ...withOthers(pid, listeners, holder) };
}

/** What else the server listens on: the command that takes its place binds that as well. */
function withOthers(pid: number, listeners: HeldListener[], holder: Holder): Pick<Adopted, 'listeners' | 'notices'> {
  const pids = descendants(pid).map(ids => ids.pid);
  const inodes = new Set(pids.flatMap(each => [...socketInodes(each)]));
  const notices: string[] = [];
  for (const { inode, address } of allListeners()) {
    if (!inodes.has(inode) || holder.byInode(inode) || pids.some(each => isPrivate(address, each))) continue;
    const wanted = { inode, address, debugger: pids.some(each => isDebugger(address, each)) };
    try {
      const held = duplicateFrom(pids, wanted, holder);
      if (held) listeners.push(held);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      notices.push(`It listens on ${formatAddress(address)}, too, which cannot be held: ${why}`);
    }
  }
  return { listeners, notices };
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

/**
 * The process whose end is the server's end:
 *
 * | those that have a listener, and whose parent has none | it is                                             |
 * |-------------------------------------------------------|---------------------------------------------------|
 * | one                                                   | that one                                          |
 * | workers of one parent, in its process group           | the parent, unless it only starts others: a shell |
 * | others                                                | none: each is a server of its own                 |
 */
function mainOf(pids: readonly number[], shown: string): number {
  const all = new Map(allProcessIds().map(ids => [ids.pid, ids]));
  const roots = pids.flatMap(pid => all.get(pid) ?? []).filter(({ ppid }) => !pids.includes(ppid));
  const [first, ...rest] = roots;
  if (first && rest.length === 0) return first.pid;
  const parent = all.get(first?.ppid ?? 0);
  const areWorkers = roots.every(({ ppid, pgid }) => ppid === parent?.pid && pgid === parent.pgid);
  if (parent && areWorkers && !isWrapper(parent.pid)) return parent.pid;
  const servers = roots.map(({ pid }) => `${processFacts(pid)?.command} (pid ${pid})`).join(', ');
  throw cannotTake(
    shown,
    `several servers listen there, and a command takes the place of one: ${servers}. Name the address of one, or end the others first`,
  );
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
  if (why) throw cannotTake(shown, why);
}

function cannotTake(shown: string, why: string): RelistenError {
  return new RelistenError(`Cannot take ${shown}: ${why}`, { code: 'ERR_NOT_TAKEN', op: 'take', address: shown });
}

function duplicateFrom(pids: readonly number[], wanted: Wanted, holder: Holder): HeldListener | undefined {
  for (const pid of pids) {
    try {
      const socket = duplicateSocketOf(pid, wanted.inode);
      if (socket) return holdWithPath(socket.fd, wanted, holder);
    } catch (error) {
      if (codeOf(error) === 'EPERM') throw cannotDuplicate(formatAddress(wanted.address), pid);
      throw error;
    }
  }
  return undefined;
}

function holdWithPath(fd: number, wanted: Wanted, holder: Holder): HeldListener {
  const listener = holder.hold(fd, wanted);
  try {
    keepPath(listener);
    return listener;
  } catch (error) {
    holder.release(listener);
    throw error;
  }
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
