import type { Address } from '../address.ts';
import { overlaps } from '../bind/overlap.ts';
import type { SocketFacts, SocketState } from '../inspection.ts';
import { hasLibc } from '../kernel/libc.ts';
import { readTcpTable } from '../kernel/proc-net.ts';
import { dumpTcp, hasSockDiag } from '../kernel/sock-diag.ts';
import type { TcpSocket } from '../kernel/tcp-socket.ts';
import type { Facts, TcpAddress } from './facts.ts';
import { nameOwners, readReuseport } from './owners.ts';
import { tryAll, tryBind } from './trial.ts';

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
  'target' | 'listeners' | 'blockers' | 'counts' | 'longestMs' | 'trials' | 'v6only' | 'listeningPeers' | 'unseen'
>;

/** Looks at the kernel's tables and tries every bind, on Linux. */
export function inspectTcp(asked: Address, target: TcpAddress, everyOwner: boolean): TcpFacts {
  const trials = hasLibc() && target.port !== 0 ? tryAll(target) : [];
  const refused = trials.some(({ host, code }) => host === target.host && code === 'EADDRINUSE');
  const table = readTable(target.port);
  const inTheWay = filterOverlapping(table.read(['LISTEN', ...CONNECTED]), target);
  // A socket that is bound only is looked for when nothing else explains the refusal.
  if (inTheWay.length === 0 && refused) inTheWay.push(...filterOverlapping(table.read(['CLOSE']), target));

  const listeners = inTheWay.filter(({ state }) => state === 'LISTEN').map(toFacts);
  const others = summarise(inTheWay.filter(({ state }) => state !== 'LISTEN'));
  nameOwners([...listeners, ...others.blockers], everyOwner);
  const facts: TcpFacts = {
    target,
    listeners,
    ...others,
    counts: countStates(inTheWay),
    trials,
    listeningPeers: table.listeningPeers(others.blockers),
    unseen:
      trials.length > 0
        ? table.unseen
        : [...table.unseen, 'No bind could be tried for real: the C library cannot be called here'],
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
  read(states: readonly SocketState[]): TcpSocket[];
  listeningPeers(sockets: readonly SocketFacts[]): Set<number>;
  unseen: string[];
}

/** Netlink where it answers, else /proc/net. */
function readTable(localPort: number): Table {
  const netlink = hasSockDiag();
  const listens = (port: number) =>
    (netlink ? dumpTcp({ localPort: port, states: ['LISTEN'] }) : readTcpTable(port)).some(
      ({ state }) => state === 'LISTEN',
    );
  return {
    read: states =>
      netlink ? dumpTcp({ localPort, states }) : readTcpTable(localPort).filter(({ state }) => states.includes(state)),
    listeningPeers: sockets => {
      const ports = new Set(sockets.flatMap(({ peer }) => (peer && 'port' in peer ? [peer.port] : [])));
      return new Set([...ports].filter(listens));
    },
    unseen: netlink
      ? []
      : ['Sockets that are bound and do not listen could not be seen: the kernel shows them over netlink only'],
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

/** Those that a process has, and of the others the one that is the last to go, before the rest. */
function summarise(sockets: readonly TcpSocket[]): { blockers: SocketFacts[]; longestMs: number | undefined } {
  const owned: TcpSocket[] = [];
  const rest: TcpSocket[] = [];
  let last: TcpSocket | undefined;
  let longestMs: number | undefined;
  for (const socket of sockets) {
    const { remainingMs } = socket;
    if (remainingMs !== undefined && (longestMs === undefined || remainingMs > longestMs)) {
      longestMs = remainingMs;
      last = socket;
    }
    const list = socket.inode === 0 ? rest : owned;
    if (list.length < MAX_BLOCKERS) list.push(socket);
  }
  const ordered =
    last === undefined ? [...owned, ...rest] : [...owned, last, ...rest.filter(socket => socket !== last)];
  return { blockers: ordered.slice(0, MAX_BLOCKERS).map(toFacts), longestMs };
}

function countStates(sockets: readonly TcpSocket[]): Partial<Record<SocketState, number>> {
  const counts: Partial<Record<SocketState, number>> = {};
  for (const { state } of sockets) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

function toFacts({ local, peer, state, inode, uid, remainingMs, v6only }: TcpSocket): SocketFacts {
  const facts: SocketFacts = { local, state, inode, uid, owners: [] };
  if (peer !== undefined) facts.peer = peer;
  if (remainingMs !== undefined) facts.remainingMs = remainingMs;
  if (v6only !== undefined) facts.v6only = v6only;
  return facts;
}
