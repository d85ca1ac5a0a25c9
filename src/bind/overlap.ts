import type { SocketAddress } from '../address.ts';

/** A local TCP address as a socket has it; an IPv6 wildcard covers IPv4 unless the socket is `v6only` (ipv6(7)). */
export interface LocalAddress {
  address: SocketAddress;
  /** Undefined where the kernel did not tell: taken for false, the default. */
  v6only?: boolean;
}

/**
 * Whether two sockets with the same port would be in each other's way (net/ipv4/inet_connection_sock.c,
 * inet_rcv_saddr_equal).
 *
 * | one         | other       | overlap                                   |
 * |-------------|-------------|-------------------------------------------|
 * | 0.0.0.0     | any IPv4    | yes                                       |
 * | ::          | any IPv6    | yes                                       |
 * | ::          | any IPv4    | unless `::` is v6only                     |
 * | ::ffff:a    | IPv4        | as a would                                |
 * | any other   | same host   | yes, in the same scope                    |
 * | any other   | other host  | no                                        |
 */
export function overlaps(one: LocalAddress, other: LocalAddress): boolean {
  if (one.address.family === 'unix' || other.address.family === 'unix') return false;
  if (one.address.port !== other.address.port) return false;
  const a = coverage(one);
  const b = coverage(other);
  return meets(a.v4, b.v4) || meets(a.v6, b.v6);
}

/** `*` for every host of the family, undefined for none. */
interface Coverage {
  v4?: string;
  v6?: string;
}

function coverage({ address, v6only }: LocalAddress): Coverage {
  if (address.family === 'unix') return {};
  const { family, host } = address;
  if (family === 'IPv4') return { v4: host === '0.0.0.0' ? '*' : host };
  if (host === '::') return v6only ? { v6: '*' } : { v6: '*', v4: '*' };
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(host)?.[1];
  if (mapped !== undefined) return { v4: mapped };
  const [plain = host, zone] = host.split('%');
  return { v6: `${plain.toLowerCase()}%${address.scopeId ?? zone ?? 0}` };
}

function meets(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && b !== undefined && (a === '*' || b === '*' || a === b);
}
