import type { Seen } from './failure.ts';
import type { Phase, Stage } from './result.ts';

/** One request from when it is due to its outcome. Times are milliseconds since the load started. */
export interface Arrival {
  readonly due: number;
  /** From when its latency counts; see `countedFrom`. */
  readonly from: number;
  /** Not answered by then, it has failed. */
  readonly deadline: number;
  /** In which it was due, until its outcome says `restart`. */
  phase: Phase;
  stage: Stage;
  reused: boolean;
  settled: boolean;
  /** What its client does when the deadline comes: gives the connection up. */
  giveUp: (() => void) | undefined;
}

/** What a client reports while it works. */
export interface Observer {
  succeed(arrival: Arrival, generation?: string): void;
  fail(arrival: Arrival, seen: Seen): void;
  count(what: ConnectionCount): void;
}

/** What is counted of connections; see ClassResult. */
export type ConnectionCount = 'opened' | 'closedWhileIdle' | 'closedAnnounced' | 'unsolicited';

/** A class of clients at work. */
export interface Client {
  /** Takes a request that is due now; never throws. */
  begin(arrival: Arrival): void;
  /** Drops every connection at once. */
  close(): void;
}
