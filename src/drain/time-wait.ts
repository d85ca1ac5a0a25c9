import type { Server } from 'node:net';
import { formatAddress } from '../address.ts';
import { readTcpTable } from '../kernel/proc-net.ts';

/**
 * Counts what servers leave in TIME_WAIT from now on: it stays with the side that closed first (RFC 9293 section 3.6.1).
 *
 * @returns how many there are more; undefined where the system does not tell
 */
export function watchTimeWait(servers: readonly Server[]): () => number | undefined {
  if (process.platform !== 'linux') return () => undefined;
  const ports = new Set(servers.flatMap(server => portOf(server) ?? []));
  const before = timeWaitAt(ports);
  return () => [...timeWaitAt(ports)].filter(socket => !before.has(socket)).length;
}

function timeWaitAt(ports: ReadonlySet<number>): Set<string> {
  const sockets = [...ports].flatMap(port => readTcpTable(port)).filter(({ state }) => state === 'TIME_WAIT');
  return new Set(sockets.map(({ local, peer }) => `${formatAddress(local)} ${peer ? formatAddress(peer) : ''}`));
}

function portOf(server: Server): number | undefined {
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : undefined;
}
