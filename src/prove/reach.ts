import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { BlockList, connect, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { invalidArgument, RelistenError } from '../errors.ts';
import { codeOf } from '../kernel/errno.ts';
import { parseTarget, type Target } from './target.ts';

const LOOK_AGAIN_MS = 50;

/**
 * Finds the one address that the load goes to: names are looked up, and the first of their addresses that accepts a
 * connection is taken, so that no client has to try two.
 *
 * @param remote whether an address that is not this host's is all right
 * @returns an address for `LoadOptions.target`, and the target as it was asked for
 * @throws RelistenError `ERR_INVALID_ARG_VALUE` for another host, else `ENOTFOUND`, `ECONNREFUSED` …
 */
export async function reach(given: string, remote: boolean): Promise<{ target: string; asked: Target }> {
  const asked = parseTarget(given);
  if ('path' in asked.connect) {
    await tryConnect(asked.connect, given);
    return { target: given, asked };
  }
  const { host, port } = asked.connect;
  const found = await lookup(host, { all: true }).catch((cause: NodeJS.ErrnoException) => {
    const facts = { code: cause.code ?? 'ENOTFOUND', op: 'lookup', address: host, cause };
    throw new RelistenError(`Cannot load ${host}: ${cause.message}`, facts);
  });
  const foreign = found.find(({ address }) => !isThisHost(address));
  if (foreign && !remote) {
    const is = foreign.address === host ? host : `${host} (${foreign.address})`;
    throw invalidArgument('target', is, 'an address of this host; --remote allows others, if they are yours to load');
  }
  let refusal: unknown;
  for (const { address } of found) {
    try {
      await tryConnect({ host: address, port }, given);
      return { target: `http://${isIPv6(address) ? `[${address}]` : address}:${port}${asked.path}`, asked };
    } catch (error) {
      refusal ??= error;
    }
  }
  throw refusal;
}

/**
 * The same for a server that was just started: it may be ready, by another listener, before it listens there.
 *
 * @param waitMs how long somebody may take to listen there
 * @throws what {@link reach} throws; AbortError when the signal is aborted
 */
export async function reachSoon(
  given: string,
  remote: boolean,
  { waitMs, signal }: { waitMs: number; signal: AbortSignal },
): Promise<{ target: string; asked: Target }> {
  const until = performance.now() + waitMs;
  for (;;) {
    try {
      return await reach(given, remote);
    } catch (error) {
      const isNobody = ['ECONNREFUSED', 'ENOENT'].includes(codeOf(error) ?? '');
      if (!isNobody || performance.now() >= until) throw error;
      await pause(LOOK_AGAIN_MS, undefined, { signal });
    }
  }
}

/** Loopback, or an address of one of the interfaces. */
export function isThisHost(address: string): boolean {
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8);
  loopback.addAddress('::1', 'ipv6');
  if (loopback.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')) return true;
  return Object.values(networkInterfaces()).some(own => own?.some(one => one.address === address));
}

async function tryConnect(address: { host: string; port: number } | { path: string }, given: string): Promise<void> {
  const socket = connect({ ...address, autoSelectFamily: false });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(5000) });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'ETIMEDOUT';
    const why = code === 'ECONNREFUSED' || code === 'ENOENT' ? 'nobody listens there' : `connect answers ${code}`;
    throw new RelistenError(`Cannot load ${given}: ${why}`, { code, op: 'connect', address: given, cause });
  } finally {
    socket.destroy();
  }
}
