import type { ServerResponse } from 'node:http';
import type { Server } from 'node:net';
import { isLatestResponse, wireHeader } from '../kernel/handle.ts';

/**
 * What a connection is used for at one instant: `silent` never sent a byte, `idle` is provably between two requests,
 * everything else is `busy`.
 */
export type Use = 'busy' | 'idle' | 'silent';

/** What is known of a connection when it is decided on; times in milliseconds on one clock. */
export interface UseFacts {
  use: Use;
  now: number;
  /** Accepted at. */
  since: number;
  /** Idle since, if it is. */
  idleSince: number;
  /** Somebody may take it, and was not asked yet. */
  offerable: boolean;
  /** Another connection holds the drain up anyway. */
  othersHold: boolean;
}

/** What to do with it now; a wait may have an end; what `holds` is waited for, the rest ends when all else is done. */
export type Decision =
  | { act: 'offer' }
  | { act: 'leave'; holds: boolean }
  | { act: 'wait'; until: number; holds: boolean };

/**
 * What becomes of an HTTP/1.1 connection.
 *
 * | use    | offerable | when                     | then                                        |
 * |--------|-----------|--------------------------|---------------------------------------------|
 * | busy   | -         | -                        | wait for the end of the request or response |
 * | idle   | yes       | -                        | offer                                       |
 * | idle   | no        | before idleSince + grace | wait: the next request is still answered    |
 * | idle   | no        | after it                 | leave                                       |
 * | silent | yes       | -                        | offer                                       |
 * | silent | no        | before since + grace     | wait: its request may be on the way         |
 * | silent | no        | after it, others hold    | wait with them, without holding             |
 * | silent | no        | after it, nobody holds   | leave                                       |
 */
export function decideHttp1(facts: UseFacts, grace: { idleGrace: number; silentGrace: number }): Decision {
  const { use, now, offerable } = facts;
  if (use === 'busy') return { act: 'wait', until: Number.POSITIVE_INFINITY, holds: true };
  if (offerable) return { act: 'offer' };
  const until = use === 'idle' ? facts.idleSince + grace.idleGrace : facts.since + grace.silentGrace;
  if (now < until) return { act: 'wait', until, holds: true };
  if (use === 'silent' && facts.othersHold) return { act: 'wait', until: Number.POSITIVE_INFINITY, holds: false };
  return { act: 'leave', holds: use === 'idle' };
}

const RESPONSE_EVENTS = new Set<string | symbol>(['request', 'checkContinue', 'checkExpectation']);

/** What {@link interceptResponses} tells; each before the application hears of it. */
export interface Interest {
  onResponse(response: ServerResponse): void;
  /** The socket of an upgrade or a CONNECT: from now on it is no HTTP connection. */
  onUpgrade(socket: unknown): void;
}

/**
 * Shows each HTTP/1.1 response and each upgrade before the application sees it.
 *
 * The application's listeners run one tick later than they would, when everything that came in the same read is parsed:
 * only then is it known whether a response has a pipelined successor, and so whether it may say `Connection: close`.
 *
 * @returns undoes it
 */
export function interceptResponses(server: Server, interest: Interest): () => void {
  const { emit } = server;
  const own = Object.hasOwn(server, 'emit');
  const intercepted = function (this: Server, event: string | symbol, ...args: unknown[]): boolean {
    const response = args[1];
    if (event === 'upgrade' || event === 'connect') interest.onUpgrade(response);
    if (!RESPONSE_EVENTS.has(event) || !isHttp1Response(response)) return Reflect.apply(emit, this, [event, ...args]);
    interest.onResponse(response);
    process.nextTick(() => Reflect.apply(emit, this, [event, ...args]));
    return true;
  };
  Object.defineProperty(server, 'emit', { value: intercepted, configurable: true, writable: true });
  return () => {
    if (server.emit !== intercepted) return;
    if (own) server.emit = emit;
    else Reflect.deleteProperty(server, 'emit');
  };
}

/** Whether it is a response that an HTTP/1.1 server has made. */
export function isHttp1Response(value: unknown): value is ServerResponse {
  if (typeof value !== 'object' || value === null || !('writeHead' in value) || !('req' in value)) return false;
  return Reflect.get(Object(value.req), 'httpVersionMajor') === 1;
}

/**
 * Makes a response whose header is not made yet say `Connection: close`, if at that moment `isLast` says so and no
 * pipelined request waits behind it: a client stops at the first response that says it (RFC 9112 section 9.6).
 * Every header passes writeHead, the implicit one too, and what the application passes there would have won over
 * setHeader: so its own Connection header is replaced.
 */
export function promiseClose(response: ServerResponse, isLast: () => boolean): void {
  if (response.headersSent) return;
  // An application may give the response another prototype yet, as express does.
  const own = Object.hasOwn(response, 'writeHead') ? response.writeHead : undefined;
  const closing = function (this: ServerResponse, status: number, ...rest: unknown[]): ServerResponse {
    const reason = typeof rest[0] === 'string' ? [rest[0]] : [];
    const headers = rest[reason.length] ?? (reason.length === 0 ? rest[1] : undefined);
    const close = status >= 200 && !this.headersSent && isLatestResponse(response) && isLast();
    const writeHead = own ?? Object.getPrototypeOf(response).writeHead;
    return Reflect.apply(writeHead, this, close ? [status, ...reason, closeHeaders(headers)] : [status, ...rest]);
  };
  Object.defineProperty(response, 'writeHead', { value: closing, configurable: true, writable: true });
}

/** writeHead's headers, in the form they came in (object, flat list, list of pairs), with the one Connection we want. */
export function closeHeaders(given: unknown): unknown {
  if (!Array.isArray(given)) {
    const kept = Object.entries(given ?? {}).filter(([name]) => !isConnection(name));
    return { ...Object.fromEntries(kept), Connection: 'close' };
  }
  if (Array.isArray(given[0])) return [...given.filter(([name]) => !isConnection(name)), ['Connection', 'close']];
  const kept = given.filter((_, index) => !isConnection(given[index - (index % 2)]));
  return [...kept, 'Connection', 'close'];
}

function isConnection(name: unknown): boolean {
  return /^(connection|keep-alive)$/i.test(String(name));
}

/** A response that only ends when somebody ends it: server-sent events (HTML Living Standard section 9.2). */
export function isEventStream(response: ServerResponse): boolean {
  return /^content-type:\s*text\/event-stream/im.test(wireHeader(response));
}
