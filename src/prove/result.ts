/** What the caller says is going on while a request falls due. */
export type Phase = 'steady' | 'restart' | 'after';

/** The phases in the order in which a run goes through them, over and over. */
export const PHASES: readonly Phase[] = ['steady', 'restart', 'after'];

/** The kinds of client; every one has a file of its own in clients/. */
export type ClientKind = 'fresh' | 'keep-alive-get' | 'keep-alive-post' | 'slow' | 'websocket' | 'tcp';

/**
 * What a client saw instead of its answer.
 *
 * | kind | seen |
 * |---|---|
 * | refused | nobody listens: ECONNREFUSED, or no such unix socket |
 * | reset | RST before the first byte of the response, or EPIPE while sending |
 * | eof | the connection ended before the first byte of the response |
 * | truncated | it ended inside the response, by FIN or RST |
 * | timeout | no whole response within the timeout, counted from when the request was due |
 * | wrong-status | a whole response with a status that was not asked for |
 * | wrong-body | a whole response with another body than the expected one |
 * | malformed | bytes that are no HTTP/1.1 response (RFC 9112), or no WebSocket frame (RFC 6455) |
 * | other | the client's own trouble (EMFILE, EADDRNOTAVAIL) or the network's; `code` says which |
 */
export type FailureKind = (typeof FAILURE_KINDS)[number];

export const FAILURE_KINDS = [
  'refused',
  'reset',
  'eof',
  'truncated',
  'timeout',
  'wrong-status',
  'wrong-body',
  'malformed',
  'other',
] as const;

/** How far a request had come: waiting for a free connection, connecting, sent, or in the middle of its response. */
export type Stage = 'queued' | 'connect' | 'request' | 'response';

/** One failed request. Times are milliseconds since the load started. */
export interface Failure {
  /** When the request was due. */
  due: number;
  /** When the client knew. */
  at: number;
  /** The class's name. */
  class: string;
  kind: FailureKind;
  stage: Stage;
  phase: Phase;
  /** Whether the connection had carried a request before this one. */
  reused: boolean;
  /** The errno's name, where there was one. */
  code?: string;
  detail?: string;
}

/** Exact percentiles (nearest rank) in milliseconds; all 0 where nothing was answered. */
export interface Latency {
  p50: number;
  p90: number;
  p99: number;
  max: number;
}

/** The longest time without a good answer. */
export interface Gap {
  ms: number;
  /** When it began: milliseconds since the load started. */
  at: number;
}

/** What became of the requests of one phase; `due` is all that have an outcome. */
export interface PhaseResult {
  due: number;
  ok: number;
  failed: number;
  failures: Partial<Record<FailureKind, number>>;
  /** Of the requests that were answered well. */
  latency: Latency;
}

/** What one class of clients saw. */
export interface ClassResult extends PhaseResult {
  name: string;
  kind: ClientKind;
  /** Arrivals per second, as asked. */
  rate: number;
  /** Size of the pool; undefined where every request has a connection of its own. */
  connections?: number;
  /** Requests that were cut by the caller's own abort: neither good nor failed. */
  abandoned: number;
  /** Connections that the client opened, or tried to. */
  opened: number;
  /** The server closed a connection between two requests without a word. No failure: the client opens a new one. */
  closedWhileIdle: number;
  /** The server announced the close: `Connection: close` with a whole response, or a WebSocket Close frame. */
  closedAnnounced: number;
  /** Bytes that came on a connection between two requests; the client then closes it. */
  unsolicited: number;
  gap: Gap;
  phases: Record<Phase, PhaseResult>;
}

/** One version of the server, as its answers named it. */
export interface GenerationResult {
  generation: string;
  answers: number;
  /** Milliseconds since the load started. */
  firstAnswer: number;
  lastAnswer: number;
}

/** What one class saw in one interval; `at` is when the interval begins. */
export interface TimelinePoint {
  at: number;
  ok: number;
  failed: number;
  p50: number;
  p99: number;
  max: number;
}

/** Everything that a load saw: plain JSON. Times are milliseconds since the load started, unless said otherwise. */
export interface LoadResult {
  target: string;
  /** Unix time in milliseconds. */
  startedAt: number;
  durationMs: number;
  timeoutMs: number;
  /** The sums over all classes. */
  due: number;
  ok: number;
  failed: number;
  failures: Partial<Record<FailureKind, number>>;
  closedWhileIdle: number;
  /** Over all classes together. */
  gap: Gap;
  phases: { at: number; phase: Phase }[];
  classes: ClassResult[];
  /** In order of their first answer; empty where the server does not say which version it is. */
  generations: GenerationResult[];
  /** The first {@link MAX_FAILURES_KEPT} of them in detail; the counts above are complete. */
  lost: Failure[];
  /** By class name; every class has the same intervals. */
  timeline: { intervalMs: number; classes: Record<string, TimelinePoint[]> };
  /** How the generator itself fared: how late it took up its requests, and how long its event loop was busy. */
  generator: { lateP99Ms: number; lateMaxMs: number; busyMs: number };
}

/** A run against a server that is down fails by the thousand: details of more than this many add nothing. */
export const MAX_FAILURES_KEPT = 10_000;
