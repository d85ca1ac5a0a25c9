import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { type Address, formatAddress, type SocketAddress } from '../address.ts';
import { RelistenError } from '../errors.ts';
import { codeOf } from '../kernel/errno.ts';
import { sysctl } from '../kernel/sysctl.ts';

/**
 * What an address stands for: a host name for all its addresses, the one to bind first; a port alone for `::`, which
 * covers IPv4 too, or for `0.0.0.0` where there is no IPv6. The same as in Node's `server.listen()`.
 *
 * @throws RelistenError with the resolver's code, e.g. `ENOTFOUND`
 */
export async function resolveAddress(address: Address): Promise<[SocketAddress, ...SocketAddress[]]> {
  if ('path' in address) return [{ family: 'unix', path: address.path }];
  const { host, port } = address;
  if (host === undefined) return [toSocketAddress(hasIPv6() ? '::' : '0.0.0.0', port)];
  if (isIP(host.replace(/%.*$/, '')) !== 0) return [toSocketAddress(host, port)];
  const [first, ...rest] = (await lookUp(host, address)).map(found => toSocketAddress(found.address, port));
  if (first) return [first, ...rest];
  throw unresolvable(host, address, undefined);
}

/** A kernel without IPv6 has none of its parameters either. */
function hasIPv6(): boolean {
  return process.platform !== 'linux' || sysctl('net.ipv6.conf.all.disable_ipv6') !== undefined;
}

function toSocketAddress(host: string, port: number): SocketAddress {
  return { family: host.includes(':') ? 'IPv6' : 'IPv4', host, port };
}

async function lookUp(host: string, address: Address): Promise<{ address: string }[]> {
  try {
    return await lookup(host, { all: true });
  } catch (cause) {
    throw unresolvable(host, address, cause);
  }
}

function unresolvable(host: string, address: Address, cause: unknown): RelistenError {
  const code = codeOf(cause) ?? 'ENOTFOUND';
  const name = formatAddress(address);
  const message = `Cannot listen on ${name}: the name ${host} does not resolve (${code}), expected an address of this host`;
  return new RelistenError(message, { code, op: 'lookup', address: name, cause });
}
