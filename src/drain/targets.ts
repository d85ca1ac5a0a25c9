import type { Server } from 'node:net';
import { invalidArgument } from '../errors.ts';
import { isWebSocketServer, type WebSocketServerLike } from './websocket.ts';

/** socket.io's Server, as far as a drain needs it. */
export interface SocketIoServerLike {
  readonly httpServer: Server;
  readonly engine: object;
}

/** What can be drained: a server of net, tls, http, https or http2, a `ws` WebSocketServer, a socket.io Server. */
export type DrainTarget = Server | WebSocketServerLike | SocketIoServerLike;

const ACCEPTED = 'a server of net, tls, http, https, http2 or ws (one that knows its HTTP server), or an array of them';

/**
 * The net.Servers behind what was given, each once: of a WebSocketServer and a socket.io Server the HTTP server that
 * their connections come from, which has to stop as well.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`
 */
export function serversOf(given: DrainTarget | readonly DrainTarget[]): Server[] {
  const targets: readonly unknown[] = Array.isArray(given) ? given : [given];
  if (targets.length === 0) throw invalidArgument('servers', '[]', ACCEPTED);
  return [...new Set(targets.flatMap(target => serverOf(target, targets)))];
}

function serverOf(target: unknown, targets: readonly unknown[]): Server | [] {
  if (isServer(target)) return target;
  if (typeof target !== 'object' || target === null) throw invalidArgument('server', target, ACCEPTED);
  // ws keeps its own or the given one in `_server` (since 1.0), and a noServer's is known to the application alone.
  const owner: unknown = isWebSocketServer(target) ? Reflect.get(target, '_server') : Reflect.get(target, 'httpServer');
  if (isServer(owner)) return owner;
  if (isWebSocketServer(target) && targets.some(isServer)) return [];
  throw invalidArgument('server', Object.prototype.toString.call(target), ACCEPTED);
}

/** Whoever has a server has loaded node:net: importing relisten need not, as it must be cheap. */
function isServer(target: unknown): target is Server {
  return target instanceof process.getBuiltinModule('node:net').Server;
}
