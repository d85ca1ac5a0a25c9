import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { type Address, formatAddress, type SocketAddress } from '../address.ts';
import { RelistenError } from '../errors.ts';
import { codeOf } from '../kernel/errno.ts';
import { sysctl } from '../kernel/sysctl.ts';

/** An address of TCP as the kernel knows it. */
export type TcpAddress = Exclude<SocketAddress, { family: 'unix' }>;

/**
 * What an address stands for: a host name for all its addresses, the one to bind first; a port alone for `::`, which
 * covers IPv4 too, or for `0.0.0.0` where there is no IPv6. The same as in Node's `server.listen()`.
 *
 * @param op what errors call the action
 * @throws RelistenError with the resolver's code, e.g. `ENOTFOUND`
 */
export async function resolveAddress(address: Address, op = 'listen'): Promise<[SocketAddress, ...SocketAddress[]]> {
  return 'path' in address ? [{ family: 'unix', path: address.path }] : resolveHost(address, op);
}

/** {@link resolveAddress} for those that have a port. */
export async function resolveHost(
  address: { host?: string; port: number },
  op = 'listen',
): Promise<[TcpAddress, ...TcpAddress[]]> {
  const { host, port } = address;
  if (host === undefined) return [toTcpAddress(hasIPv6() ? '::' : '0.0.0.0', port)];
  if (isIP(host.replace(/%.*$/, '')) !== 0) return [toTcpAddress(host, port)];
  try {
    const [first, ...rest] = (await lookup(host, { all: true })).map(found => toTcpAddress(found.address, port));
    if (first) return [first, ...rest];
  } catch (cause) {
    throw unresolvable(op, address, cause);
  }
  throw unresolvable(op, address, undefined);
}

/** A kernel without IPv6 has none of its parameters either. */
function hasIPv6(): boolean {
  return process.platform !== 'linux' || sysctl('net.ipv6.conf.all.disable_ipv6') !== undefined;
}

function toTcpAddress(host: string, port: number): TcpAddress {
  return { family: host.includes(':') ? 'IPv6' : 'IPv4', host, port };
}

function unresolvable(op: string, address: { host?: string; port: number }, cause: unknown): RelistenError {
  const code = codeOf(cause) ?? 'ENOTFOUND';
  const name = formatAddress(address);
  const verb = op === 'listen' ? 'listen on' : op;
  const message = `Cannot ${verb} ${name}: the name ${address.host} does not resolve (${code}), expected one of this host`;
  return new RelistenError(message, { code, op, address: name, cause });
}
