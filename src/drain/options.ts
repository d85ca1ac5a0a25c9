import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Server, Socket } from 'node:net';
import { invalidArgument } from '../errors.ts';
import type { DrainProgress } from './report.ts';

/** How to drain. Every time is in milliseconds. */
export interface DrainOptions {
  /** When what is left is cut, counted from the call. @default 30_000 */
  deadline?: number;
  /** Told first, and waited for: make the readiness probe fail here. */
  onNotReady?: () => unknown;
  /** How long to go on accepting afterwards, while a load balancer takes notice. @default 0 */
  delay?: number;
  /**
   * Told when nothing is accepted any more, and waited for before any connection is left: until then all are served as
   * ever. For what `handOff` has to wait for.
   */
  onStoppedAccepting?: () => unknown;
  /**
   * Others hold the listener too (a supervisor, a cluster), so that what waits in its accept queue is theirs to answer.
   * A listener that is not shared is emptied before it is closed. @default false
   */
  shared?: boolean;
  /** How long an idle HTTP/1.1 connection is kept, so that its next request is answered. @default 5_000 */
  idleGrace?: number;
  /** How long a connection that never sent a byte may hold the drain up after it was accepted. @default 1_000 */
  silentGrace?: number;
  /**
   * How long a client that was told `Connection: close` or GOAWAY is given to close first, so that TIME_WAIT stays on
   * its side. @default 500
   */
  clientFirst?: number;
  /** How long a connection that we half-closed is read on without a byte coming, before it is let go. @default 2_000 */
  linger?: number;
  /**
   * Goodbyes to WebSockets and event streams are spread over this window, so that their clients do not all come back at
   * once. @default 5 for each of them, at most 5_000
   */
  spread?: number;
  /** The WebSocket close code and reason. @default 1012, 'Service Restart' (IANA WebSocket Close Code registry) */
  webSocketCode?: number;
  webSocketReason?: string;
  /**
   * Whether a `text/event-stream` response is ended (its client reconnects by itself), or waited for until the deadline.
   * @default 'end'
   */
  eventStreams?: 'end' | 'wait';
  /**
   * Asked once, within the spread, about every HTTP response that is still in flight: true if it ends by itself soon and
   * the application has seen to that (a 204 to a long poll, a last event). HTTP/2 responses that were not made by the
   * compatibility API come as their stream alone.
   */
  endResponse?: (response: ServerResponse | ServerHttp2Stream, request?: IncomingMessage) => unknown;
  /** The application's own goodbye on a raw TCP, TLS or upgraded connection; half-closed when it has resolved. */
  onDrain?: (socket: Socket) => unknown;
  /**
   * Offered, in the moment in which it is so, each connection that is provably between two requests (HTTP/1.1 without
   * TLS), and each raw TCP connection. It must stop reading before it returns or first awaits. True: the connection has
   * another owner, and the drain closes its own descriptor. False: it reads again, and the connection is drained.
   */
  handOff?: (socket: Socket, about: { server: Server; protocol: 'http1' | 'tcp' }) => boolean | Promise<boolean>;
  /** Whether the report says how many sockets were left in TIME_WAIT: on a busy host there is much to be read for that. @default true */
  countTimeWait?: boolean;
  /** Hurry: once it is aborted, the deadline is now. */
  signal?: AbortSignal;
  onProgress?: (progress: DrainProgress) => void;
}

/** The options with their defaults in. */
export type DrainSettings = DrainOptions &
  Required<
    Pick<DrainOptions, 'deadline' | 'delay' | 'shared' | 'idleGrace' | 'silentGrace' | 'clientFirst' | 'linger'> &
      Pick<DrainOptions, 'webSocketCode' | 'webSocketReason' | 'eventStreams' | 'countTimeWait'>
  >;

const TIMES = ['deadline', 'delay', 'idleGrace', 'silentGrace', 'clientFirst', 'linger', 'spread'] as const;
const FUNCTIONS = ['onNotReady', 'onStoppedAccepting', 'endResponse', 'onDrain', 'handOff', 'onProgress'] as const;
const FLAGS = ['shared', 'countTimeWait'] as const;
const DEFAULTS = {
  deadline: 30_000,
  delay: 0,
  shared: false,
  idleGrace: 5_000,
  silentGrace: 1_000,
  clientFirst: 500,
  linger: 2_000,
  webSocketCode: 1012,
  webSocketReason: 'Service Restart',
  eventStreams: 'end',
  countTimeWait: true,
} as const;
/** setTimeout's limit: a longer time would fire at once. */
const LONGEST = 2 ** 31 - 1;
/** A control frame carries at most 125 bytes, two of them the code (RFC 6455 section 5.5). */
const LONGEST_REASON = 123;

/**
 * Checks the options and fills in the defaults.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`
 */
export function settingsOf(options: DrainOptions = {}): DrainSettings {
  if (typeof options !== 'object' || options === null) throw invalidArgument('drain options', options, 'an object');
  for (const name of Object.keys(options)) {
    if (!KNOWN.has(name)) throw invalidArgument('drain option', name, `one of ${[...KNOWN].join(', ')}`);
  }
  for (const name of TIMES) checkTime(name, options[name]);
  for (const name of FUNCTIONS) check(name, options[name], typeof options[name] === 'function', 'a function');
  for (const name of FLAGS) check(name, options[name], typeof options[name] === 'boolean', 'true or false');
  check(
    'eventStreams',
    options.eventStreams,
    ['end', 'wait'].includes(String(options.eventStreams)),
    "'end' or 'wait'",
  );
  check('signal', options.signal, options.signal instanceof AbortSignal, 'an AbortSignal');
  const { webSocketCode: code, webSocketReason: reason } = options;
  check('webSocketCode', code, isCloseCode(code), 'a close code that may be sent: 1000 to 1014, 3000 to 4999');
  check('webSocketReason', reason, isReason(reason), `a string of at most ${LONGEST_REASON} bytes`);
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { ...DEFAULTS, ...given };
}

const KNOWN = new Set<string>([...Object.keys(DEFAULTS), ...TIMES, ...FUNCTIONS, 'signal']);

function check(name: string, given: unknown, valid: boolean, accepted: string): void {
  if (given !== undefined && !valid) throw invalidArgument(name, given, accepted);
}

function checkTime(name: string, given: unknown): void {
  const valid = typeof given === 'number' && given >= 0 && given <= LONGEST;
  check(name, given, valid, `milliseconds from 0 to ${LONGEST}`);
}

/** 1004 to 1006 are reserved and never sent (RFC 6455 section 7.4). */
function isCloseCode(code: unknown): boolean {
  if (typeof code !== 'number' || !Number.isInteger(code)) return false;
  return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code <= 4999);
}

function isReason(reason: unknown): boolean {
  return typeof reason === 'string' && Buffer.byteLength(reason) <= LONGEST_REASON;
}
