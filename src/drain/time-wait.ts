import { readFile } from 'node:fs/promises';
import type { Server } from 'node:net';
import { parseTcpTable } from '../kernel/proc-net.ts';
import { dumpTcp, hasSockDiag } from '../kernel/sock-diag.ts';
import type { TcpSocket } from '../kernel/tcp-socket.ts';

/** TCP_TIMEWAIT_LEN (include/net/tcp.h): the same on every Linux, and not to be changed at run time. */
const TIME_WAIT_MS = 60_000;
/** The kernel's timers and procfs count in ticks. */
const TICK_MS = 20;
/** From so many sockets on the host on it pays to load the FFI and let the kernel filter: procfs writes a line for each. */
const MANY = 1_000;

/** The ports of servers that still listen. */
export function portsOf(servers: readonly Server[]): Set<number> {
  return new Set(
    servers.flatMap(server => {
      const address = server.address();
      return address !== null && typeof address === 'object' ? [address.port] : [];
    }),
  );
}

/**
 * Counts what was left in TIME_WAIT at these ports in the last `elapsedMs`: it stays with the side that closed first
 * (RFC 9293 section 3.6.1), and how long it has left says since when it is there.
 *
 * @param ended how many connections this side has closed or cut
 * @returns undefined where the system does not tell
 */
export async function countTimeWait(
  ports: ReadonlySet<number>,
  elapsedMs: number,
  ended: number,
): Promise<number | undefined> {
  if (process.platform !== 'linux') return undefined;
  if (ended === 0) return 0;
  const sockets = (await socketsOnHost()) >= MANY && hasSockDiag() ? dump(ports) : await readTables(ports);
  const left = TIME_WAIT_MS - elapsedMs - TICK_MS;
  return sockets.filter(({ state, remainingMs = 0 }) => state === 'TIME_WAIT' && remainingMs >= left).length;
}

/** Of /proc/net/sockstat (proc_net(5)), for IPv6 too; 0 where it is not to be read. */
async function socketsOnHost(): Promise<number> {
  const text = await readFile('/proc/self/net/sockstat', 'utf8').catch(() => '');
  const [, open, timeWait] = /^TCP: inuse (\d+) .*\btw (\d+)/m.exec(text) ?? [];
  return Number(open ?? 0) + Number(timeWait ?? 0);
}

function dump(ports: ReadonlySet<number>): TcpSocket[] {
  return [...ports].flatMap(localPort => dumpTcp({ localPort, states: ['TIME_WAIT'] }));
}

/** Not with readTcpTable: on a host with many sockets that would hold the event loop up. */
async function readTables(ports: ReadonlySet<number>): Promise<TcpSocket[]> {
  // No IPv6, no such table.
  const read = (table: string) => readFile(`/proc/self/net/${table}`, 'utf8').catch(() => '');
  const texts = await Promise.all([read('tcp'), read('tcp6')]);
  return texts.flatMap(text => [...ports].flatMap(port => parseTcpTable(text, port)));
}
