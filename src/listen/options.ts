import { type Address, formatAddress, parseAddress } from '../address.ts';
import { REUSE, type Reuse } from '../bind/plan.ts';
import type { Waiting } from '../bind/waiting.ts';
import { invalidArgument } from '../errors.ts';

/** How long to go on where a live process has the address. */
export interface RetryOptions {
  /** Milliseconds between two tries. @default 20 */
  interval?: number;
  /** Milliseconds after which to give up, whatever blocks. @default 180_000 */
  deadline?: number;
}

/** Where to listen, and what to do where that is not possible at once. Names and defaults are Node's where it has them. */
export interface ListenOptions {
  /** 0 for any free one. May be left out, as `path` too, where a listener was inherited. */
  port?: number | string;
  /** An IP address or a host name. @default every address of both families */
  host?: string;
  /** A unix socket, instead of `port`; `@name` or a leading NUL byte for an abstract one. */
  path?: string;
  /** How many connections may wait to be accepted; capped by net.core.somaxconn (a warning says so). @default 511 */
  backlog?: number;
  /** Set IPV6_V6ONLY, so that `::` does not cover IPv4. @default false */
  ipv6Only?: boolean;
  /** Permissions of the unix socket's file, e.g. 0o660. @default what the umask leaves */
  mode?: number;
  /** Which reuse options to set. @default 'auto' */
  reuse?: Reuse;
  /** Destroy leftover TIME_WAIT and closing sockets instead of waiting for them (CAP_NET_ADMIN). @default false */
  evict?: boolean;
  /** Wait for a live process that has the address, too. @default false: fail at once */
  retry?: boolean | RetryOptions;
  /** Ends the wait with `ABORT_ERR`; aborted later, it closes the server, as in Node. */
  signal?: AbortSignal;
  /** Told when a wait begins, and when what is waited for changes. */
  onWait?: (waiting: Waiting) => void;
  /** Adopt only the inherited listener with this name in LISTEN_FDNAMES. */
  name?: string;
}

/** {@link ListenOptions}, checked and complete. */
export interface CheckedOptions {
  /** Undefined where only an inherited listener will do. */
  address: Address | undefined;
  /** For messages. */
  shown: string;
  backlog: number;
  ipv6Only: boolean | undefined;
  mode: number | undefined;
  reuse: Reuse;
  evict: boolean;
  interval: number | undefined;
  deadline: number | undefined;
  signal: AbortSignal | undefined;
  onWait: ((waiting: Waiting) => void) | undefined;
  name: string | undefined;
}

/** Node's default (net.Server.listen). */
const BACKLOG = 511;
const INTERVAL_MS = 20;
const INT32_MAX = 2 ** 31 - 1;

/** @throws RelistenError `ERR_INVALID_ARG_VALUE`, which says what was given and what is accepted */
export function checkOptions(given: ListenOptions | number | string): CheckedOptions {
  const options = typeof given === 'object' && given !== null ? given : shorthand(given);
  const address = addressOf(options);
  const retry = retryOf(options.retry);
  return {
    address,
    shown: address ? formatAddress(address) : 'an inherited listener',
    backlog: whole('backlog', options.backlog, 1, INT32_MAX) ?? BACKLOG,
    ipv6Only: typed('ipv6Only', options.ipv6Only, 'boolean'),
    mode: whole('mode', options.mode, 0, 0o777),
    reuse: reuseOf(options.reuse),
    evict: typed('evict', options.evict, 'boolean') ?? false,
    interval: retry && (whole('retry.interval', retry.interval, 1, INT32_MAX) ?? INTERVAL_MS),
    deadline: whole('retry.deadline', retry?.deadline, 0, INT32_MAX),
    signal: signalOf(options.signal),
    onWait: typed('onWait', options.onWait, 'function') as CheckedOptions['onWait'],
    name: typed('name', options.name, 'string'),
  };
}

function shorthand(given: unknown): ListenOptions {
  if (typeof given !== 'number' && typeof given !== 'string') {
    throw invalidArgument('options', given, 'an object with port or path, or an address such as 3000');
  }
  return parseAddress(given);
}

function addressOf({ port, host, path }: ListenOptions): Address | undefined {
  if (path !== undefined) {
    if (port !== undefined || host !== undefined) {
      throw invalidArgument(
        'options',
        `path ${path} and port ${port ?? '-'}, host ${host ?? '-'}`,
        'either path or port',
      );
    }
    return parseAddress({ path: typeof path === 'string' ? path.replace(/^@/, '\0') : path });
  }
  if (port === undefined) {
    if (host !== undefined) throw invalidArgument('port', port, 'a whole number from 0 to 65535, as there is a host');
    return undefined;
  }
  // PORT comes from the environment as text.
  const number = typeof port === 'string' && /^\d{1,5}$/.test(port) ? Number(port) : port;
  return parseAddress(host === undefined ? { port: number as number } : { port: number as number, host });
}

function retryOf(given: ListenOptions['retry']): RetryOptions | undefined {
  if (given === undefined || given === false) return undefined;
  if (given === true) return {};
  if (typeof given === 'object' && given !== null) return given;
  throw invalidArgument('retry', given, 'true, false, or an object with interval and deadline in milliseconds');
}

function reuseOf(given: unknown): Reuse {
  const reuse = REUSE.find(known => known === (given ?? 'auto'));
  if (reuse) return reuse;
  throw invalidArgument('reuse', given, REUSE.join(', '));
}

function signalOf(given: unknown): AbortSignal | undefined {
  if (given === undefined || given instanceof AbortSignal) return given;
  throw invalidArgument('signal', given, 'an AbortSignal');
}

function whole(what: string, given: unknown, least: number, most: number): number | undefined {
  if (given === undefined) return undefined;
  if (typeof given === 'number' && Number.isInteger(given) && given >= least && given <= most) return given;
  throw invalidArgument(what, given, `a whole number from ${least} to ${most}`);
}

interface Types {
  boolean: boolean;
  string: string;
  function: (...args: never[]) => unknown;
}

function typed<T extends keyof Types>(what: string, given: unknown, type: T): Types[T] | undefined {
  if (given === undefined || typeof given === type) return given as Types[T] | undefined;
  throw invalidArgument(what, given, `a ${type}`);
}
