import type { Address, SocketAddress } from '../address.ts';
import type { BindTrial, ProcessFacts, SocketFacts, SocketState } from '../inspection.ts';

/** An address of TCP as the kernel knows it. */
export type TcpAddress = Extract<SocketAddress, { port: number }>;

/** What was seen and tried, before anybody makes sense of it. */
export interface Facts {
  asked: Address;
  /** What a bind would be tried for: the asked host resolved, `::` where none was asked. */
  target: SocketAddress;
  /** In the way of `target`. */
  listeners: SocketFacts[];
  /** In the way of `target` and no listeners: at most 100. */
  blockers: SocketFacts[];
  counts: Partial<Record<SocketState, number>>;
  /** The most milliseconds that one of the sockets in the way has left by itself; undefined where none has a timer. */
  longestMs: number | undefined;
  trials: BindTrial[];
  /** What `::` with IPV6_V6ONLY answered, where `::` was asked and refused: `undefined` when it succeeded. */
  v6only?: { code: string | undefined };
  /** Ports that something listens on here: whoever is connected to one is a client. Empty where that does not matter. */
  listeningPorts: ReadonlySet<number>;
  /** What is at a unix path; undefined for TCP and abstract names. */
  file?: 'absent' | 'socket' | 'other';
  /** What connect(2) to a unix path answered: `undefined` when it succeeded. */
  connect?: { code: string | undefined };
  self: Self;
  system: System;
  unseen: string[];
}

/** Who asks: an earlier run of the same program is told by it. */
export interface Self {
  pid: number;
  uid: number;
  argv: readonly string[];
  cwd: string;
}

/** What holds for the whole host. */
export interface System {
  /** Both ends included. */
  ephemeralPorts: [first: number, last: number];
  /** net.ipv4.ip_local_reserved_ports, as it is; '' where there are none, undefined on other systems than Linux. */
  reservedPorts: string | undefined;
  firstUnprivilegedPort: number;
  /** This host's own; looked up only where the one that was asked is not among them. */
  hosts: string[];
  /** Unix time in milliseconds. */
  now: number;
}

/** The processes that have one of these sockets, each once, those that the others come from first. */
export function ownersOf(sockets: readonly SocketFacts[]): ProcessFacts[] {
  const all = new Map(sockets.flatMap(socket => socket.owners).map(owner => [owner.pid, owner]));
  const depth = (owner: ProcessFacts): number => {
    let steps = 0;
    for (let parent = all.get(owner.ppid); parent && steps <= all.size; parent = all.get(parent.ppid)) steps++;
    return steps;
  };
  return [...all.values()].sort((a, b) => depth(a) - depth(b) || a.startedAt - b.startedAt || a.pid - b.pid);
}
