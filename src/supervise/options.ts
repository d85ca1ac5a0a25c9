import { constants } from 'node:os';
import { type Address, formatAddress, parseAddress } from '../address.ts';
import { invalidArgument, RelistenError } from '../errors.ts';

/** A listener that is held from the start: what -p says. */
export interface PortOption {
  /** For LISTEN_FDNAMES. */
  name?: string;
  address: Address;
}

/** How a generation tells that it is ready; without any of these, listen(2) does. */
export interface ReadyOptions {
  /** sd_notify(3) READY=1, and nothing less. */
  notify?: boolean;
  /** Path, or whole URL, that must answer 200 to 399 from a process of the new generation. */
  http?: string;
  /** A connection must be accepted by a process of the new generation. */
  tcp?: boolean;
  /** A line of stdout or stderr must match. */
  line?: RegExp;
}

/** What `relisten run` is told. All times in ms. */
export interface SuperviseOptions {
  command: string[];
  ports: PortOption[];
  protocol: 'systemd' | 'server-starter';
  intercept: boolean;
  ready: ReadyOptions;
  readyTimeoutMs: number;
  strategy: 'overlap' | 'stop-first';
  /** How long the old one goes on serving beside the new one before it is told to end; 0: not at all. */
  slowStartMs: number;
  stopSignal: NodeJS.Signals;
  drainMs: number;
  maxDraining: number;
  /** A first start that fails is not the end: somebody may mend the program and ask again (`--watch`). */
  outliveFailedStart: boolean;
  /** Failures in a row after which relisten ends; undefined: never. */
  giveUp?: number;
  /** Remove what only blocks by the kernel's timer, where we have the right. */
  evict: boolean;
  /** Path of the Node hook that the command gets in NODE_OPTIONS; undefined for none. */
  hook?: string;
  /**
   * What the HTTP server of a Node program that has the hook answers to itself before it listens, while another generation
   * serves: `METHOD path`, or a path. Empty for nothing.
   */
  warmHttp: readonly string[];
  /**
   * So long after a restart the next generation's process is started, where it is a Node program that has the hook, and
   * waits before its first line; undefined: not before the next restart.
   */
  standbyMs?: number;
  cwd: string;
  /** Descriptor that the command gets as its stdin, the caller's to close; default: our own stdin. */
  stdin?: number;
  envFile?: string;
  user?: string;
}

export const DEFAULTS = {
  protocol: 'systemd',
  intercept: true,
  standbyMs: 3_000,
  readyTimeoutMs: 30_000,
  strategy: 'overlap',
  slowStartMs: 0,
  stopSignal: 'SIGTERM',
  drainMs: 30_000,
  maxDraining: 5,
} as const;

/**
 * Reads `[name=]address` of -p.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`
 */
export function parsePort(given: string): PortOption {
  const match = /^([^=/@[\]:]+)=(.*)$/s.exec(given);
  if (match?.[1] !== undefined && match[2] !== undefined) return { name: match[1], address: checked(match[2]) };
  return { address: checked(given) };
}

function checked(text: string): Address {
  const address = parseAddress(text);
  if ('port' in address && address.port === 0) {
    throw invalidArgument('port', text, 'a port from 1 to 65535: one that the kernel chooses cannot be named again');
  }
  return address;
}

/** @throws RelistenError when two name the same address */
export function checkPorts(ports: readonly PortOption[]): void {
  const seen = new Set<string>();
  for (const { address } of ports) {
    const text = formatAddress(address);
    if (seen.has(text)) throw invalidArgument('-p', text, 'each address once');
    seen.add(text);
  }
}

/** `SIGTERM`, `TERM` or `15`. */
export function parseSignal(what: string, given: string): NodeJS.Signals {
  const upper = given.toUpperCase();
  const named = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  const found = Object.entries(constants.signals).find(([name, number]) => name === named || String(number) === given);
  if (!found) throw invalidArgument(what, given, 'a name such as SIGTERM or QUIT, or its number');
  return found[0] as NodeJS.Signals;
}

/** `/text/flags`, or the text alone. */
export function parseRegExp(what: string, given: string): RegExp {
  const match = /^\/(.*)\/([a-z]*)$/s.exec(given);
  try {
    return match ? new RegExp(match[1] ?? '', match[2]?.replace(/[gy]/g, '')) : new RegExp(given);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new RelistenError(`Invalid ${what}: ${why}`, { code: 'ERR_INVALID_ARG_VALUE', op: 'validate', cause });
  }
}
