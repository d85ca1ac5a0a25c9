import type { SocketAddress } from '../address.ts';
import { readTcpTable } from '../kernel/proc-net.ts';
import { type DiagSocket, dumpTcp, hasSockDiag } from '../kernel/sock-diag.ts';
import { getOption } from '../kernel/socket.ts';
import { inodeOf } from '../kernel/stat.ts';
import type { TcpSocket } from '../kernel/tcp-socket.ts';
import { type LocalAddress, overlaps } from './overlap.ts';
import type { Sighting } from './schedule.ts';
import { stateOfPath } from './stale-path.ts';

/** A sighting, and the sockets that it is made of. */
export interface Look extends Sighting {
  /** A socket is in LISTEN there. */
  listening: boolean;
  /** Those in the way, as far as they could be seen. */
  sockets: readonly TcpSocket[];
}

/** Looks for the sockets that keep `fd` from being bound to a TCP address. */
export function lookAround(fd: number, address: SocketAddress & { family: 'IPv4' | 'IPv6' }): Look {
  const wanted: LocalAddress = {
    address,
    v6only: address.family === 'IPv6' && getOption(fd, 'IPV6_V6ONLY') !== 0,
  };
  const own = inodeOf(fd);
  const all: TcpSocket[] = hasSockDiag() ? dumpTcp({ localPort: address.port }) : readTcpTable(address.port);
  const blocking = all.filter(
    socket => socket.inode !== own && overlaps({ address: socket.local, v6only: socket.v6only }, wanted),
  );
  return sight(blocking, performance.now());
}

/**
 * What sockets mean for whoever wants their address.
 *
 * | state                                   | inode | it is   |
 * |-----------------------------------------|-------|---------|
 * | LISTEN                                  | any   | live, and nothing else counts: it blocks for as long as it is there |
 * | any other                               | not 0 | live    |
 * | TIME_WAIT, FIN_WAIT2                    | 0     | a timer |
 * | any other: it is closing, or belongs to a listener that has just gone | 0 | closing |
 */
export function sight(sockets: readonly TcpSocket[], now: number): Look {
  const listeners = sockets.filter(socket => socket.state === 'LISTEN');
  if (listeners.length > 0) {
    return { at: now, live: true, listening: true, expiries: [], closing: false, sockets: listeners };
  }
  const leftovers = sockets.filter(socket => socket.inode === 0);
  const expiries = leftovers.flatMap(({ remainingMs }) => (remainingMs === undefined ? [] : [now + remainingMs]));
  return {
    at: now,
    live: leftovers.length < sockets.length,
    listening: false,
    expiries,
    closing: expiries.length < leftovers.length,
    sockets,
  };
}

/** What keeps a unix socket from its path: nothing that would go by itself. */
export function lookAtPath(path: string): Look {
  const live = stateOfPath(path) !== 'gone';
  return { at: performance.now(), live, listening: live, expiries: [], closing: false, sockets: [] };
}

/** Sockets that no process has and that the kernel may be asked to destroy: TIME_WAIT, and what is closing. */
export function evictable({ sockets }: Look): DiagSocket[] {
  return sockets.filter((socket): socket is DiagSocket => socket.inode === 0 && 'id' in socket);
}
