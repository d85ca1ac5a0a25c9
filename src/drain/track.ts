import type { Server, Socket } from 'node:net';
import { rawSocketUnder } from '../kernel/handle.ts';

/** A connection of a server, from accept to close. */
export interface Connection {
  readonly server: Server;
  /** What was accepted. */
  readonly raw: Socket;
  /** What the application sees: `raw`, or the TLS socket over it, once there is one. */
  socket: Socket;
  /** When it was accepted, or when somebody first asked: performance.now() in milliseconds. */
  readonly since: number;
  /** Hears that it is closed. */
  onClosed?: (connection: Connection) => void;
}

const tracked = new WeakMap<Server, Map<Socket, Connection>>();

/**
 * Keeps the connections of a server from now on.
 *
 * @returns the open connections by their raw sockets; the map lives as long as the server
 */
export function trackConnections(server: Server): ReadonlyMap<Socket, Connection> {
  const known = tracked.has(server);
  const connections = mapOf(server);
  if (known) return connections;
  server.on('connection', (raw: Socket) => addConnection(server, raw));
  if (isTlsServer(server)) {
    server.on('secureConnection', (socket: Socket) => {
      const raw = rawSocketUnder(socket) ?? socket;
      addConnection(server, raw).socket = socket;
    });
  }
  return connections;
}

/** Adds a connection that was found otherwise. */
export function addConnection(server: Server, raw: Socket): Connection {
  const connections = mapOf(server);
  const known = connections.get(raw);
  if (known) return known;
  const connection: Connection = { server, raw, socket: raw, since: performance.now(), onClosed: undefined };
  connections.set(raw, connection);
  raw.on('close', () => {
    connections.delete(raw);
    connection.onClosed?.(connection);
  });
  return connection;
}

/** Not by instanceof: loading tls costs 3 ms, and every program that imports relisten would pay. */
export function isTlsServer(server: Server): boolean {
  return 'setSecureContext' in server;
}

function mapOf(server: Server): Map<Socket, Connection> {
  const known = tracked.get(server);
  if (known) return known;
  const connections = new Map<Socket, Connection>();
  tracked.set(server, connections);
  return connections;
}
