import type { SocketAddress } from './address.ts';

/**
 * The kernel's TCP states (include/net/tcp_states.h), with the kernel's spelling; unix sockets use the first two. CLOSE is
 * a socket that is bound and neither listens nor is connected.
 */
export type SocketState =
  | 'LISTEN'
  | 'ESTABLISHED'
  | 'SYN_SENT'
  | 'SYN_RECV'
  | 'FIN_WAIT1'
  | 'FIN_WAIT2'
  | 'TIME_WAIT'
  | 'CLOSE'
  | 'CLOSE_WAIT'
  | 'LAST_ACK'
  | 'CLOSING';

/** A process as /proc/PID shows it. */
export interface ProcessFacts {
  pid: number;
  /** The command line as a person would have typed it. */
  command: string;
  argv: string[];
  /** Undefined where the reader may not see it. */
  cwd?: string;
  uid: number;
  /** The user's name, else the uid in digits. */
  user: string;
  ppid: number;
  /** The parent's command line, where it still exists and is not pid 1. */
  parent?: string;
  /** Whatever started it has ended, and pid 1 or a subreaper has it now (prctl(2), PR_SET_CHILD_SUBREAPER). */
  orphaned: boolean;
  /** The systemd service that it runs in. */
  unit?: string;
  /** Unix time in milliseconds. */
  startedAt: number;
}

/** One socket of the kernel's tables. */
export interface SocketFacts {
  local: SocketAddress;
  peer?: SocketAddress;
  state: SocketState;
  /** 0 for a socket that no process has (TIME_WAIT, orphaned FIN_WAIT2). */
  inode: number;
  uid: number;
  /** Milliseconds until the kernel removes it by itself; only where such a timer runs (TIME_WAIT, FIN_WAIT2). */
  remainingMs?: number;
  /** IPv6 only, where the kernel told. */
  v6only?: boolean;
  /** Whether it set SO_REUSEPORT; only where that matters and could be read. */
  reuseport?: boolean;
  /** Processes that have it open, as far as the reader may see. */
  owners: ProcessFacts[];
}

/** Which reuse options a socket sets before it binds. */
export type ReuseOptions = 'none' | 'address' | 'port' | 'both';

/** What one real `bind(2)` answered. */
export interface BindTrial {
  /** The host that was bound. */
  host: string;
  reuse: ReuseOptions;
  /** `undefined` when the bind succeeded, else the errno's name. */
  code?: string;
}

/** Why an address cannot be bound, in one word; explain.ts turns each into sentences. */
export type Reason =
  | 'free'
  | 'live-listener'
  | 'orphan-listener'
  | 'held-by-relisten'
  | 'time-wait'
  | 'leftover-connections'
  | 'bound-only'
  | 'ephemeral-client'
  | 'other-family-or-wildcard'
  | 'v6only'
  | 'stale-unix-socket'
  | 'live-unix-socket'
  | 'not-a-socket'
  | 'no-right'
  | 'no-such-address'
  | 'foreign-reuseport-group'
  | 'unknown';

/** Everything that relisten saw at an address. */
export interface Inspection {
  /** As asked, normalised: `3000`, `127.0.0.1:3000`, `[::1]:3000`, `/run/app.sock`, `@name`. */
  address: string;
  reason: Reason;
  /** One sentence for people, without a full stop; the rest is `advice`. */
  summary: string;
  /** What to do about it, a sentence each. */
  advice: string[];
  listeners: SocketFacts[];
  /** Other sockets that stand in the way of a bind: at most 100 of them, those with a process and the last to go first. */
  blockers: SocketFacts[];
  /** How many sockets of each state are in the way in all. */
  counts: Partial<Record<SocketState, number>>;
  /** Empty where this system lets nobody bind without listening. */
  trials: BindTrial[];
  /** What could not be seen or tried here, a sentence each. */
  unseen: string[];
}
