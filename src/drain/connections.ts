import type { Server } from 'node:net';
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
import { addConnection, type Connection, isTlsServer, trackConnections } from './track.ts';
import { webSocketOn } from './websocket.ts';

/** Every open connection of the servers, those from before they were tracked too. */
export function findConnections(servers: readonly Server[]): void {
  const isOurs = new Set<unknown>(servers);
  for (const server of servers) {
    for (const socket of http1Sockets(server)) addConnection(server, rawSocketUnder(socket) ?? socket).socket = socket;
  }
  for (const raw of acceptedSockets(isOurs)) {
    const server = servers.find(candidate => candidate === acceptedBy(raw));
    if (!server || trackConnections(server).has(raw)) continue;
    const connection = addConnection(server, raw);
    if (isTlsServer(server)) connection.socket = tlsSocketOver(raw) ?? raw;
  }
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
 * | an HTTP/1.1 parser  | any          | http1     |
 * | a `ws` WebSocket    | any          | webSocket |
 * | an HTTP/2 session   | any          | http2     |
 * | TLS handshake       | HTTP         | http1     |
 * | nothing of these    | HTTP         | upgraded  |
 * | nothing of these    | raw TCP, TLS | tcp       |
 */
export function protocolOf(connection: Connection): Protocol {
  const { socket, server } = connection;
  if (hasHttp1Parser(socket)) return 'http1';
  if (webSocketOn(socket)) return 'webSocket';
  if (http2SessionOn(socket)) return 'http2';
  if (!speaksHttp1(server)) return 'tcp';
  return isHandshaking(connection) ? 'http1' : 'upgraded';
}
