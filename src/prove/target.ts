import { type Address, formatAddress, parseAddress } from '../address.ts';
import { invalidArgument } from '../errors.ts';

/** Where a load goes, ready for `net.connect`. */
export interface Target {
  /** For `net.connect`: one address, no second try at another family. */
  connect: { host: string; port: number } | { path: string };
  /** For the Host header (RFC 9112 section 3.2). */
  authority: string;
  /** The path of the URL, where one was given. */
  path: string;
}

/**
 * Reads a target: an `http:` (or `ws:`, `tcp:`) URL, or an address as {@link parseAddress} takes it.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`, also for https: the clients speak plain text.
 */
export function parseTarget(given: string | number | Address): Target {
  if (typeof given === 'string' && given.includes('://')) return parseUrl(given);
  const address = parseAddress(given);
  if ('path' in address) return { connect: address, authority: 'localhost', path: '/' };
  const host = address.host ?? '127.0.0.1';
  return {
    connect: { host, port: address.port },
    authority: formatAddress({ host, port: address.port }),
    path: '/',
  };
}

function parseUrl(given: string): Target {
  const accepted = 'a plain URL such as http://127.0.0.1:3000, ws:// and tcp:// alike';
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (!url || !/^(?:http|ws|tcp):$/.test(url.protocol) || url.hostname === '' || url.username !== '') {
    throw invalidArgument('target', given, accepted);
  }
  if (url.protocol === 'tcp:' && url.port === '') throw invalidArgument('target', given, 'a tcp:// URL with a port');
  const port = url.port === '' ? 80 : Number(url.port);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { connect: { host, port }, authority: url.host, path: `${url.pathname || '/'}${url.search}` };
}
