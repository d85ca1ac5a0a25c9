import type { Server, Socket } from 'node:net';
import {
  acceptedBy,
  acceptedSockets,
  hasHttp1Parser,
  http1Sockets,
  http2SessionOn,
  rawSocketUnder,
  speaksHttp1,
  tlsSocketOver,
} from '../kernel/handle.ts';
import type { Protocol } from './report.ts';
import { webSocketOn } from './websocket.ts';

/** A connection of a server, from accept to close. */
export interface Connection {
  readonly server: Server;
  /** What was accepted. */
  readonly raw: Socket;
  /** What the application sees: `raw`, or the TLS socket over it, once there is one. */
  socket: Socket;
  /** When it was accepted, or when somebody first asked: performance.now() in milliseconds. */
  readonly since: number;
}

const tracked = new WeakMap<Server, Map<Socket, Connection>>();

/**
 * Keeps the connections of a server from now on, so that a later drain knows each of them and its age. A drain finds
 * nearly all that came before by itself; only sockets that were unref'd, or are no net.Socket, need this to be seen.
 *
 * @returns the open connections by their raw sockets; the map lives as long as the server
 */
export function track(server: Server): ReadonlyMap<Socket, Connection> {
  const known = tracked.get(server);
  if (known) return known;
  const connections = new Map<Socket, Connection>();
  tracked.set(server, connections);
  server.on('connection', (raw: Socket) => add(connections, server, raw));
  if (isTlsServer(server)) {
    server.on('secureConnection', (socket: Socket) => {
      const raw = rawSocketUnder(socket) ?? socket;
      add(connections, server, raw).socket = socket;
    });
  }
  return connections;
}

/** Every open connection of the servers, those from before they were tracked too. */
export function findConnections(servers: readonly Server[]): void {
  const isOurs = new Set<unknown>(servers);
  for (const server of servers) {
    const connections = tracked.get(server) ?? new Map<Socket, Connection>();
    for (const socket of http1Sockets(server)) {
      const raw = rawSocketUnder(socket) ?? socket;
      add(connections, server, raw).socket = socket;
    }
  }
  for (const raw of acceptedSockets(isOurs)) {
    const server = servers.find(candidate => candidate === acceptedBy(raw));
    const connections = server && tracked.get(server);
    if (!connections || connections.has(raw)) continue;
    const connection = add(connections, server, raw);
    if (isTlsServer(server)) connection.socket = tlsSocketOver(raw) ?? raw;
  }
}

function add(connections: Map<Socket, Connection>, server: Server, raw: Socket): Connection {
  const known = connections.get(raw);
  if (known) return known;
  const connection: Connection = { server, raw, socket: raw, since: performance.now() };
  connections.set(raw, connection);
  raw.once('close', () => connections.delete(raw));
  return connection;
}

/** Not by instanceof: loading tls costs 3 ms, and every program that imports relisten would pay. */
function isTlsServer(server: Server): boolean {
  return 'setSecureContext' in server;
}

/** Whether a TLS server's connection is still shaking hands, or has not begun to. */
export function isHandshaking({ server, raw, socket }: Connection): boolean {
  return isTlsServer(server) && (socket === raw || Reflect.get(socket, 'secureConnecting') === true);
}

/**
 * What a connection speaks now.
 *
 * | on the socket       | server       | protocol  |
 * |---------------------|--------------|-----------|
 * | a `ws` WebSocket    | any          | webSocket |
 * | an HTTP/2 session   | any          | http2     |
 * | an HTTP/1.1 parser  | any          | http1     |
 * | TLS handshake       | HTTP         | http1     |
 * | nothing of these    | HTTP         | upgraded  |
 * | nothing of these    | raw TCP, TLS | tcp       |
 */
export function protocolOf(connection: Connection): Protocol {
  const { socket, server } = connection;
  if (webSocketOn(socket)) return 'webSocket';
  if (http2SessionOn(socket)) return 'http2';
  if (hasHttp1Parser(socket)) return 'http1';
  if (!speaksHttp1(server)) return 'tcp';
  return isHandshaking(connection) ? 'http1' : 'upgraded';
}
