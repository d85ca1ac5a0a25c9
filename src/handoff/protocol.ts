import { isIPv4 } from 'node:net';
import { RelistenError } from '../errors.ts';

/*
 * The handoff protocol, version 1: what is written and read, and nothing that does it. docs/handoff.md is its
 * specification for other languages.
 *
 *   receiver → giver   hello     I have room for so many connections
 *   giver → receiver   give      these connections, one descriptor each in the same message
 *   receiver → giver   taken     all of your oldest unanswered give are mine, but those
 *   receiver → giver   refused   none of it is mine
 *
 * Each is one SOCK_SEQPACKET message: the four bytes RLHO, one byte of version, and JSON in UTF-8.
 */

export const VERSION = 1;
const MAGIC = Buffer.from('RLHO');
const HEADER_BYTES = MAGIC.length + 1;

/** Longest message. The kernel's default buffer of a unix socket, 212,992 bytes, holds one (net.core.wmem_default). */
export const MAX_MESSAGE_BYTES = 163_840;

/** Most bytes of state and unread input that a connection may bring: what fits, with base64 and the rest of the text. */
export const MAX_STATE_BYTES = 98_304;

export type HandoffProtocol = 'http1' | 'tcp';

/** A connection in a `give`; its descriptor is the one of the same index. */
export interface GivenConnection {
  /** The address of the listener that accepted it, as `formatAddress` writes it. */
  to: string;
  protocol: HandoffProtocol;
  /** HTTP: it has had a request; false for one that never sent a byte. */
  used?: boolean;
  /** HTTP: requests so far, where the giver counted them. */
  requests?: number;
  /** Milliseconds until it would have been closed for idleness. */
  timeoutMs?: number;
  /** TCP: what the application saved. */
  state?: Buffer;
  /** TCP: what was read from the socket and not consumed. */
  unread?: Buffer;
}

export type Message =
  | { type: 'hello'; room: number }
  | { type: 'give'; connections: GivenConnection[] }
  | { type: 'taken'; refused: number[]; room: number }
  | { type: 'refused'; why: string; room: number };

export function encode(message: Message): Buffer {
  const text = JSON.stringify(
    message.type === 'give' ? { ...message, connections: message.connections.map(inText) } : message,
  );
  return Buffer.concat([MAGIC, Buffer.of(VERSION), Buffer.from(text)]);
}

function inText(connection: GivenConnection): object {
  const { state, unread } = connection;
  if (!state && !unread) return connection;
  return { ...connection, state: state?.toString('base64'), unread: unread?.toString('base64') };
}

/**
 * Reads a message.
 *
 * @throws RelistenError ERR_HANDOFF_PROTOCOL, which says what was wrong
 */
export function decode(bytes: Buffer): Message {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw protocolError('it does not begin with RLHO');
  const version = bytes[MAGIC.length];
  if (version !== VERSION) throw protocolError(`its version is ${version ?? 'missing'}, not ${VERSION}`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(HEADER_BYTES)));
  } catch (cause) {
    throw protocolError('it is not JSON', cause);
  }
  if (!isRecord(value)) throw protocolError('it is not an object');
  switch (value.type) {
    case 'hello':
      return { type: 'hello', room: count(value.room, 'room') };
    case 'give':
      return { type: 'give', connections: list(value.connections, readConnection) };
    case 'taken':
      return { type: 'taken', refused: list(value.refused, readIndex), room: count(value.room, 'room') };
    case 'refused':
      return { type: 'refused', why: text(value.why, 'why'), room: count(value.room, 'room') };
    default:
      throw protocolError(`its type is ${JSON.stringify(value.type) ?? 'missing'}`);
  }
}

export function protocolError(why: string, cause?: unknown): RelistenError {
  return new RelistenError(`Cannot use a handoff message: ${why}`, {
    code: 'ERR_HANDOFF_PROTOCOL',
    op: 'handoff',
    cause,
  });
}

function readConnection(value: unknown): GivenConnection {
  if (!isRecord(value)) throw protocolError('a connection is not an object');
  const connection: GivenConnection = { to: text(value.to, 'to'), protocol: protocol(value.protocol) };
  if (value.used !== undefined) connection.used = value.used === true;
  if (value.requests !== undefined) connection.requests = count(value.requests, 'requests');
  if (value.timeoutMs !== undefined) connection.timeoutMs = count(value.timeoutMs, 'timeoutMs');
  if (value.state !== undefined) connection.state = Buffer.from(text(value.state, 'state'), 'base64');
  if (value.unread !== undefined) connection.unread = Buffer.from(text(value.unread, 'unread'), 'base64');
  return connection;
}

function readIndex(value: unknown): number {
  return count(value, 'index');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function list<T>(value: unknown, read: (item: unknown) => T): T[] {
  if (!Array.isArray(value)) throw protocolError('a list is missing');
  return value.map(read);
}

function text(value: unknown, name: string): string {
  if (typeof value === 'string') return value;
  throw protocolError(`${name} is not a string`);
}

function count(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw protocolError(`${name} is not a whole number of 0 or more`);
}

function protocol(value: unknown): HandoffProtocol {
  if (value === 'http1' || value === 'tcp') return value;
  throw protocolError(`protocol is ${JSON.stringify(value) ?? 'missing'}`);
}

/** A local address as far as matching needs it. */
export type LocalAddress = { host: string; port: number } | { path: string };

/**
 * Which listener a connection belongs to.
 *
 * | its listener's address is | its own local address is | then                          |
 * |---------------------------|--------------------------|-------------------------------|
 * | one of ours               | covered by that          | that one                      |
 * | one of ours               | elsewhere                | none: not a connection of it  |
 * | none of ours              | exactly one of ours      | that one                      |
 * | none of ours              | under a wildcard of ours | the first such                |
 * | none of ours              | elsewhere                | none                          |
 */
export function matchListener<L extends Listener>(
  { to, protocol: wanted }: Pick<GivenConnection, 'to' | 'protocol'>,
  local: LocalAddress,
  listeners: readonly L[],
): L | undefined {
  const candidates = listeners.filter(one => one.protocol === wanted);
  const named = candidates.find(one => one.text === to);
  if (named) return covers(named.address, local) ? named : undefined;
  const covering = candidates.filter(one => covers(one.address, local));
  return covering.find(one => !isWildcard(one.address)) ?? covering[0];
}

/** A listener of the receiver's. */
export interface Listener {
  /** The address as `formatAddress` writes it. */
  text: string;
  address: LocalAddress;
  protocol: HandoffProtocol;
}

function isWildcard(address: LocalAddress): boolean {
  return 'host' in address && (address.host === '::' || address.host === '0.0.0.0');
}

function covers(listener: LocalAddress, local: LocalAddress): boolean {
  if ('path' in listener || 'path' in local)
    return 'path' in listener && 'path' in local && listener.path === local.path;
  if (listener.port !== local.port) return false;
  const host = local.host.replace(/%.*$/, '');
  if (listener.host === '::') return true;
  if (listener.host === '0.0.0.0') return isIPv4(host);
  return listener.host.replace(/%.*$/, '') === host;
}
