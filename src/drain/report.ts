import type { EventEmitter } from 'node:events';

/** What a connection speaks, as far as the drain treats it differently. `upgraded` is CONNECT, or an unknown upgrade. */
export type Protocol = 'http1' | 'http2' | 'webSocket' | 'upgraded' | 'tcp';

/** What the drain does now; each follows the one before. */
export type DrainPhase = 'not-ready' | 'stop-accepting' | 'finishing' | 'cutting' | 'done';

/** A connection that was in use at the deadline, and was destroyed. */
export interface CutConnection {
  protocol: Protocol;
  /** As `socket.remoteAddress` and `socket.remotePort`; both undefined on a unix socket. */
  remoteAddress?: string;
  remotePort?: number;
  /** What it was doing: `GET /report: response started`, `3 streams open`. */
  doing: string;
  /** Milliseconds since it was accepted, or since the drain first saw it. */
  ageMs: number;
}

/** How a drain ended. */
export interface DrainReport {
  durationMs: number;
  /** Connections that `handOff` took. */
  handedOff: number;
  /** Requests (HTTP/1.1) and streams (HTTP/2) that were in flight or came during the drain, and were answered in full. */
  finished: number;
  /** Connections that ended, by whichever side, and were not cut. `overTls` are among the others, not beside them. */
  closed: Record<Protocol, number> & { overTls: number };
  /** Connections in use that the deadline or the signal ended. */
  cut: CutConnection[];
  /** Sockets that this drain left in TIME_WAIT on our side; undefined where the system does not tell, or nobody asked. */
  timeWait: number | undefined;
}

/** What `onProgress` and the event `progress` tell. */
export interface DrainProgress {
  phase: DrainPhase;
  elapsedMs: number;
  /** Connections still open. */
  open: Record<Protocol, number>;
  /** How many of them hold the drain up. */
  waitingFor: number;
}

/** The promise of a report, with the events of the drain beside it. */
export interface Draining extends Promise<DrainReport> {
  /** `progress` at every new phase and, at most every 100 ms, when the numbers have changed. */
  readonly events: EventEmitter<{ progress: [DrainProgress] }>;
}

/** A zero for each protocol. */
export function perProtocol(): Record<Protocol, number> {
  return { http1: 0, http2: 0, webSocket: 0, upgraded: 0, tcp: 0 };
}
