import { formatAddress, type SocketAddress } from '../address.ts';
import { describeProcess } from '../bind/failure.ts';
import type { ProcessFacts, SocketFacts, SocketState } from '../inspection.ts';

/*
 * Parts of sentences.
 */

/** The first of several processes stands for those that it started. */
export function describeOwners(owners: readonly ProcessFacts[]): string {
  const [first, ...rest] = owners;
  if (!first) return 'a process that could not be seen';
  const more = rest.length === 0 ? '' : ` and ${count(rest.length, 'more process', 'more processes')}`;
  return `${describeProcess(first)}${more}`;
}

/** `43 s`, `0.4 s`, `3 min`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 120_000 ? `${Math.ceil(ms / 1000)} s` : `${Math.ceil(ms / 60_000)} min`;
}

export function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** An address for people: IPv4 as IPv4, even where an IPv6 socket has it. */
export function showAddress(address: SocketAddress): string {
  if (address.family === 'unix') return formatAddress(address);
  return formatAddress({ host: address.host.replace(/^::ffff:(?=\d+\.)/, ''), port: address.port });
}

/** `3 in TIME_WAIT, 1 in FIN_WAIT2`. */
export function showCounts(counts: Partial<Record<SocketState, number>>): string {
  return Object.entries(counts)
    .filter(([state]) => state !== 'LISTEN')
    .map(([state, number]) => `${number} in ${state}`)
    .join(', ');
}

/** Whose a socket is where no process could be named. */
export function describeUnseen({ uid, inode }: SocketFacts, selfUid: number): string {
  if (inode === 0) return 'a process that could not be seen';
  return selfUid === 0 || uid === selfUid
    ? 'something that no visible process has open (another pid namespace, or the kernel itself)'
    : `a process of uid ${uid} that you may not look into`;
}
