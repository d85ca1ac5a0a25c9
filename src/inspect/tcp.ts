import type { Address } from '../address.ts';
import { overlaps } from '../bind/overlap.ts';
import type { ProcessFacts, SocketFacts, SocketState } from '../inspection.ts';
import { hasLibc } from '../kernel/libc.ts';
import { readTcpTable } from '../kernel/proc-net.ts';
import { dumpTcp, hasSockDiag } from '../kernel/sock-diag.ts';
import type { TcpSocket } from '../kernel/tcp-socket.ts';
import type { Facts, TcpAddress } from './facts.ts';
import { findOwners, readReuseport } from './owners.ts';
import { tryAll, tryBind } from './trial.ts';

const NOT_SHOWN =
  'Only netlink shows sockets that are bound and do not listen, and which listeners on :: leave IPv4 alone: it is not to be had here';
export const NOT_TRIED = 'No bind could be tried for real: the C library cannot be called here';
/** More than this of blockers tell nobody anything. */
const MAX_BLOCKERS = 100;
/** All but CLOSE, for which the kernel walks its sockets a second time (sock-diag.ts). */
const CONNECTED: readonly SocketState[] = [
  'ESTABLISHED',
  'SYN_SENT',
  'SYN_RECV',
  'FIN_WAIT1',
  'FIN_WAIT2',
  'TIME_WAIT',
  'CLOSE_WAIT',
  'LAST_ACK',
  'CLOSING',
];

export type TcpFacts = Pick<
  Facts,
  'target' | 'listeners' | 'blockers' | 'counts' | 'longestMs' | 'trials' | 'v6only' | 'listeningPorts' | 'unseen'
>;

/** Looks at the kernel's tables and tries every bind, on Linux. */
export function inspectTcp(asked: Address, target: TcpAddress, everyOwner: boolean): TcpFacts {
  const trials = hasLibc() && target.port !== 0 ? tryAll(target) : [];
  const refused = trials.some(({ host, code }) => host === target.host && code === 'EADDRINUSE');
  const table = readTable(target.port);
  const inTheWay = filterOverlapping(table.read(['LISTEN', ...CONNECTED]), target);
  // A socket that is bound only is looked for when nothing else explains the refusal.
  if (inTheWay.length === 0 && refused) inTheWay.push(...filterOverlapping(table.read(['CLOSE']), target));

  const { listeners, owned, left, ...sums } = sift(inTheWay);
  const owners = findOwners(inodesOf(listeners), inodesOf(owned), everyOwner);
  const toFacts = (socket: TcpSocket) => describe(socket, owners.get(socket.inode) ?? []);
  // Those that are known to be somebody's say the most.
  const named = owned.filter(({ inode }) => owners.has(inode));
  const blockers = [...new Set([...named.slice(0, MAX_BLOCKERS), ...owned.slice(0, MAX_BLOCKERS), ...left])];
  const facts: TcpFacts = {
    target,
    listeners: listeners.map(toFacts),
    blockers: blockers.slice(0, MAX_BLOCKERS).map(toFacts),
    ...sums,
    trials,
    listeningPorts: listeners.length === 0 && owned.length + left.length > 0 ? table.listeningPorts() : new Set(),
    unseen: [...table.unseen, ...(trials.length > 0 || target.port === 0 ? [] : [NOT_TRIED])],
  };
  if (refused) examineRefusal(facts, asked);
  return facts;
}

/** What only matters when a bind was refused. */
function examineRefusal(facts: TcpFacts, asked: Address): void {
  if ('port' in asked && asked.host === '::') facts.v6only = { code: tryBind(facts.target, 'address', true) };
  const uid = process.geteuid?.();
  for (const listener of facts.listeners) {
    const reuseport = listener.uid === uid ? undefined : readReuseport(listener);
    if (reuseport !== undefined) listener.reuseport = reuseport;
  }
}

interface Table {
  /** Sockets with the port in these states. */
  read(states: readonly SocketState[]): TcpSocket[];
  /** Every port of this host that something listens on. */
  listeningPorts(): Set<number>;
  unseen: string[];
}

/** Netlink where it answers, else /proc/net. */
function readTable(localPort: number): Table {
  const netlink = hasSockDiag();
  const inStates = (states: readonly SocketState[], port?: number) =>
    netlink ? dumpTcp({ localPort: port, states }) : readTcpTable(port).filter(({ state }) => states.includes(state));
  return {
    read: states => inStates(states, localPort),
    listeningPorts: () => new Set(inStates(['LISTEN']).map(socket => socket.localPort)),
    unseen: netlink ? [] : [NOT_SHOWN],
  };
}

function filterOverlapping(sockets: readonly TcpSocket[], target: TcpAddress): TcpSocket[] {
  if (target.host === '::') return [...sockets];
  const known = new Map<string, boolean>();
  return sockets.filter(({ family, local, v6only }) => {
    const key = `${family} ${'host' in local ? local.host : ''} ${v6only}`;
    const answer = known.get(key) ?? overlaps({ address: local, v6only }, { address: target });
    known.set(key, answer);
    return answer;
  });
}

interface Sifted {
  listeners: TcpSocket[];
  /** Those that a process has. */
  owned: TcpSocket[];
  /** Of the others up to as many as are shown, the last to go first. */
  left: TcpSocket[];
  counts: Partial<Record<SocketState, number>>;
  longestMs: number | undefined;
}

/** Once through all of them, as there may be a hundred thousand. */
function sift(sockets: readonly TcpSocket[]): Sifted {
  const sifted: Sifted = { listeners: [], owned: [], left: [], counts: {}, longestMs: undefined };
  let last: TcpSocket | undefined;
  for (const socket of sockets) {
    const { state, inode, remainingMs } = socket;
    sifted.counts[state] = (sifted.counts[state] ?? 0) + 1;
    if (remainingMs !== undefined && remainingMs > (sifted.longestMs ?? -1)) {
      sifted.longestMs = remainingMs;
      last = socket;
    }
    if (state === 'LISTEN') sifted.listeners.push(socket);
    else if (inode !== 0) sifted.owned.push(socket);
    else if (sifted.left.length < MAX_BLOCKERS) sifted.left.push(socket);
  }
  if (last?.inode === 0) sifted.left.unshift(last);
  return sifted;
}

function inodesOf(sockets: readonly TcpSocket[]): number[] {
  return sockets.map(({ inode }) => inode).filter(inode => inode !== 0);
}

function describe(
  { local, peer, state, inode, uid, remainingMs, v6only }: TcpSocket,
  owners: ProcessFacts[],
): SocketFacts {
  const facts: SocketFacts = { local, state, inode, uid, owners };
  if (peer !== undefined) facts.peer = peer;
  if (remainingMs !== undefined) facts.remainingMs = remainingMs;
  if (v6only !== undefined) facts.v6only = v6only;
  return facts;
}
