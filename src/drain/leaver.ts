import { currentResponse, http2SessionOn, isQuiet, openStreams } from '../kernel/handle.ts';
import { hasBeenUsed } from '../kernel/socket-notes.ts';
import { isHandshaking, protocolOf } from './connections.ts';
import { type Decision, decideHttp1, isEventStream, type Use, type UseFacts } from './http1.ts';
import { isEventStream as isEventStreamOver2 } from './http2.ts';
import type { Idle } from './idle.ts';
import type { CutConnection, Protocol } from './report.ts';
import { decideTcp } from './tcp.ts';
import type { Connection } from './track.ts';

/** A connection on its way out. */
export interface Leaver {
  readonly connection: Connection;
  /** What it spoke when it was last looked at. */
  protocol: Protocol;
  /** `open` is decided on in every round, `leaving` ends by itself, `offered` waits for an answer, `taken` is gone. */
  stage: 'open' | 'offered' | 'leaving' | 'taken' | 'cut';
  /** It was accepted while the drain ran. */
  readonly isLate: boolean;
  /** It was offered, and nobody took it. */
  refused: boolean;
  holds: boolean;
  idleSince: number | undefined;
  upgradedSince: number | undefined;
  /** When to say goodbye to what does not end by itself. */
  goodbyeAt: number | undefined;
}

export function leaverOf(connection: Connection, isLate: boolean): Leaver {
  const nothing = { idleSince: undefined, upgradedSince: undefined, goodbyeAt: undefined };
  const fresh = { stage: 'open', refused: false, holds: false } as const;
  return { connection, protocol: protocolOf(connection), isLate, ...fresh, ...nothing };
}

/** How an HTTP/1.1 or raw connection is used now. */
export function useOf({ connection, protocol }: Leaver, idle: Idle): Use {
  const { socket } = connection;
  if (isHandshaking(connection)) return 'silent';
  if (!hasBeenUsed(socket) && socket.bytesWritten === 0 && isQuiet(socket)) return 'silent';
  if (protocol !== 'http1' || !isQuiet(socket)) return 'busy';
  return idle(socket) ? 'idle' : 'busy';
}

/**
 * What becomes of a connection now.
 *
 * | protocol              | decided by                                                      |
 * |-----------------------|-----------------------------------------------------------------|
 * | TLS handshake         | decideHttp1, as silent: nothing of the application's is in it   |
 * | http1                 | decideHttp1                                                     |
 * | http2, just accepted  | wait for its first request, as long as for a silent one         |
 * | http2                 | leave: GOAWAY may come at any time                              |
 * | webSocket             | wait: its goodbye is spread, and then ws closes it              |
 * | upgraded              | decideTcp, silent at first if it was upgraded during the drain  |
 * | tcp                   | decideTcp                                                       |
 */
export function decide(
  leaver: Leaver,
  idle: Idle,
  facts: Pick<UseFacts, 'now' | 'offerable' | 'othersHold'>,
  grace: { idleGrace: number; silentGrace: number },
): Decision {
  const { connection, upgradedSince } = leaver;
  leaver.protocol = protocolOf(connection);
  const { since } = connection;
  const { now, offerable, othersHold } = facts;
  if (isHandshaking(connection)) {
    return decideHttp1({ use: 'silent', now, since, idleSince: since, offerable: false, othersHold }, grace);
  }
  if (leaver.protocol === 'http2') {
    const until = leaver.isLate ? since + grace.silentGrace : 0;
    return now < until ? { act: 'wait', until, holds: true } : { act: 'leave', holds: true };
  }
  if (leaver.protocol === 'webSocket') return { act: 'wait', until: Number.POSITIVE_INFINITY, holds: true };
  if (leaver.protocol === 'upgraded') {
    const use = upgradedSince === undefined ? 'busy' : 'silent';
    return decideTcp({ use, now, since: upgradedSince ?? since, offerable: false }, grace);
  }
  const use = useOf(leaver, idle);
  if (leaver.protocol === 'tcp') return decideTcp({ use, now, since, offerable }, grace);
  leaver.idleSince = use === 'idle' ? (leaver.idleSince ?? now) : undefined;
  return decideHttp1({ use, now, since, idleSince: leaver.idleSince ?? now, offerable, othersHold }, grace);
}

/**
 * Whether something on it ends only when somebody says goodbye.
 *
 * | protocol  | needs one when                                                       |
 * |-----------|----------------------------------------------------------------------|
 * | webSocket | always                                                               |
 * | http1     | its response is an event stream, or the application wants to be asked |
 * | http2     | one of its streams is                                                |
 * | others    | never: their goodbye is said at once                                 |
 */
export function needsGoodbye(leaver: Leaver, wants: { events: boolean; ask: boolean }): boolean {
  const { socket } = leaver.connection;
  if (leaver.protocol === 'webSocket') return true;
  if (leaver.protocol === 'http2') {
    const session = http2SessionOn(socket);
    const streams = session ? openStreams(session) : [];
    return wants.ask ? streams.length > 0 : wants.events && streams.some(isEventStreamOver2);
  }
  const response = leaver.protocol === 'http1' ? currentResponse(socket) : undefined;
  if (!response || response.writableEnded) return false;
  return wants.ask || (wants.events && isEventStream(response));
}

/** What is lost if it is destroyed now: undefined for nothing. */
export function lossOf(leaver: Leaver, idle: Idle, now: number): CutConnection | undefined {
  const { socket, raw, since } = leaver.connection;
  const doing = leaver.stage === 'leaving' ? leavingUse(leaver) : openUse(leaver, idle);
  if (doing === undefined) return undefined;
  const { remoteAddress, remotePort } = socket.remoteAddress === undefined ? raw : socket;
  return { protocol: leaver.protocol, remoteAddress, remotePort, doing, ageMs: Math.round(now - since) };
}

function leavingUse({ protocol, connection: { socket } }: Leaver): string | undefined {
  if (protocol === 'http2') return openUseOfHttp2(socket);
  if (socket.writableLength > 0) return `${socket.writableLength} bytes not read by the peer`;
  return protocol === 'http1' ? undefined : 'half-closed, peer still open';
}

function openUse(leaver: Leaver, idle: Idle): string | undefined {
  const { protocol, connection } = leaver;
  if (protocol === 'webSocket') return 'open';
  if (protocol === 'http2') return openUseOfHttp2(connection.socket);
  if (useOf(leaver, idle) !== 'busy') return undefined;
  if (protocol !== 'http1') return 'open';
  const response = currentResponse(connection.socket);
  if (!response) return 'request not complete';
  return `${response.req.method} ${response.req.url}: ${response.headersSent ? 'response started' : 'no response yet'}`;
}

function openUseOfHttp2(socket: Connection['socket']): string | undefined {
  const session = http2SessionOn(socket);
  const open = session ? openStreams(session).length : 0;
  return open === 0 ? undefined : `${open} stream${open === 1 ? '' : 's'} open`;
}
