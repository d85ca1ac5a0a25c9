import type { Server, Socket } from 'node:net';
import { formatAddress } from '../address.ts';
import { isQuiet } from '../kernel/handle.ts';
import { hasBeenUsed } from '../kernel/socket-notes.ts';
import { remainingTimeout } from '../kernel/socket-timeout.ts';
import { hasHalfCharacter } from '../kernel/tcp-handle.ts';
import { type GivenConnection, MAX_STATE_BYTES } from './protocol.ts';
import { requestsOn } from './requests.ts';
import { rawHandoffOf } from './state.ts';

/*
 * What the next process must know of a connection that it gets.
 */

/**
 * @param protocol of raw TCP, what was read and not consumed is taken out of the socket: put it back where it is not given
 * @returns undefined for one that cannot be handed off
 */
export function describe(socket: Socket, server: Server, protocol: 'http1' | 'tcp'): GivenConnection | undefined {
  return protocol === 'http1' ? describeHttp(socket, server) : describeRaw(socket, server);
}

function describeHttp(socket: Socket, server: Server): GivenConnection | undefined {
  const to = addressOf(server);
  if (to === undefined || !isQuiet(socket)) return undefined;
  const given: GivenConnection = { to, protocol: 'http1', used: hasBeenUsed(socket) };
  const timeoutMs = remainingTimeout(socket);
  if (timeoutMs !== undefined) given.timeoutMs = Math.round(timeoutMs);
  const requests = requestsOn(socket);
  if (requests > 0) given.requests = requests;
  return given;
}

function describeRaw(socket: Socket, server: Server): GivenConnection | undefined {
  const to = addressOf(server);
  const raw = rawHandoffOf(server);
  if (!raw || to === undefined || hasHalfCharacter(socket)) return undefined;
  const state = raw.save(socket);
  if (state === undefined || !(state instanceof Uint8Array)) return undefined;
  if (state.length + socket.readableLength > MAX_STATE_BYTES) return undefined;
  const given: GivenConnection = { to, protocol: 'tcp', state: Buffer.from(state) };
  const unread: unknown = socket.readableLength > 0 ? socket.read() : null;
  if (typeof unread === 'string') given.unread = Buffer.from(unread, socket.readableEncoding ?? 'utf8');
  else if (unread instanceof Buffer) given.unread = unread;
  return given;
}

const addresses = new WeakMap<Server, string>();

/** Remembers where a server listens: one that was closed has no address, and its connections still have. */
export function rememberAddress(server: Server): string | undefined {
  const address = server.address();
  if (address === null) return undefined;
  const text = formatAddress(
    typeof address === 'string' ? { path: address } : { host: address.address, port: address.port },
  );
  addresses.set(server, text);
  return text;
}

function addressOf(server: Server): string | undefined {
  return addresses.get(server) ?? rememberAddress(server);
}
