import { invalidArgument } from './errors.ts';

/** Where to listen, as a person names it; `host` may be a name that is still to be resolved. */
export type Address = { port: number; host?: string } | { path: string };

/**
 * An address as the kernel knows it (ip(7), ipv6(7), unix(7)).
 * A unix path that begins with a NUL byte is abstract; people write it with `@` in front.
 */
export type SocketAddress =
  | { family: 'IPv4' | 'IPv6'; host: string; port: number; scopeId?: number }
  | { family: 'unix'; path: string };

/** sizeof(sockaddr_un.sun_path) is 108 with its final NUL byte (unix(7)). */
export const MAX_UNIX_PATH_BYTES = 107;

const ACCEPTED = 'a port (0 to 65535), host:port, [v6]:port, a unix path (/… or ./…) or an abstract one (@…)';

/**
 * Reads an address: `3000`, `:3000`, `*:3000` (as ss(8) and lsof(8) print it), `127.0.0.1:3000`, `localhost:3000`,
 * `[::1]:3000`, `/run/app.sock`, `./app.sock`, `@abstract`.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`, which says what was given and what is accepted.
 */
export function parseAddress(given: string | number | Address): Address {
  if (typeof given === 'number') return { port: checkPort(given) };
  if (typeof given === 'object' && given !== null) return checkAddress(given);
  if (typeof given !== 'string') throw invalidArgument('address', given, ACCEPTED);
  if (given.startsWith('@')) return { path: checkPath(`\0${given.slice(1)}`) };
  if (/^(?!unix:)[a-z]+:\/\//i.test(given)) throw invalidArgument('address', given, ACCEPTED);
  if (given.includes('/')) return { path: checkPath(given.replace(/^unix:/, '')) };
  const match = /^(?:(?:\[(?<v6>[^\]]*)\]|(?<name>[^:]*)):)?(?<port>[^:]*)$/.exec(given);
  if (!match?.groups) throw invalidArgument('address', given, ACCEPTED);
  const { v6, name, port } = match.groups;
  if (!/^\d{1,5}$/.test(port ?? '') || Number(port) > 65535) throw invalidArgument('address', given, ACCEPTED);
  if (v6 !== undefined && ipVersion(v6) !== 6)
    throw invalidArgument('address', given, `an IPv6 address between the brackets`);
  const host = v6 ?? (name === '*' ? undefined : name || undefined);
  return host === undefined ? { port: Number(port) } : { host: checkHost(host), port: Number(port) };
}

function checkAddress(given: Address): Address {
  if ('path' in given && given.path !== undefined) {
    return { path: checkPath(given.path) };
  }
  if (!('port' in given)) throw invalidArgument('address', JSON.stringify(given), 'an object with port or path');
  const port = checkPort(given.port);
  return given.host === undefined ? { port } : { port, host: checkHost(given.host) };
}

function checkPort(port: unknown): number {
  if (typeof port === 'number' && Number.isInteger(port) && port >= 0 && port <= 65535) return port;
  throw invalidArgument('port', port, 'a whole number from 0 to 65535');
}

function checkHost(host: unknown): string {
  if (typeof host === 'string' && host !== '' && !/[\s/]/.test(host)) return host;
  throw invalidArgument('host', host, 'an IP address or a host name');
}

function checkPath(path: unknown): string {
  if (typeof path !== 'string' || path === '' || path === '\0') {
    throw invalidArgument('unix path', path, 'a path that is not empty');
  }
  if (path.indexOf('\0', 1) !== -1) throw invalidArgument('unix path', path, 'a path without NUL bytes inside');
  // An abstract name may use the last byte too: it needs no terminator.
  const bytes = Buffer.byteLength(path);
  const limit = path.startsWith('\0') ? MAX_UNIX_PATH_BYTES + 1 : MAX_UNIX_PATH_BYTES;
  if (bytes > limit) throw invalidArgument('unix path', path, `at most ${MAX_UNIX_PATH_BYTES} bytes, not ${bytes}`);
  return path;
}

/** The address as people write it; the inverse of {@link parseAddress}. */
export function formatAddress(address: Address | SocketAddress): string {
  if ('path' in address) return address.path.startsWith('\0') ? `@${address.path.slice(1)}` : address.path;
  if (address.host === undefined) return String(address.port);
  const zone = 'scopeId' in address && address.scopeId ? `%${address.scopeId}` : '';
  return ipVersion(address.host) === 6 ? `[${address.host}${zone}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Of an IP address in text: 4 or 6, else 0. node:net is loaded when it is asked for, as importing relisten must be cheap. */
export function ipVersion(text: string): number {
  return process.getBuiltinModule('node:net').isIP(text);
}
