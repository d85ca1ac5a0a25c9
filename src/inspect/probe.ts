import { release } from 'node:os';
import { planBind } from '../bind/plan.ts';
import type { ReuseOptions } from '../inspection.ts';
import { codeOf } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import { bind, listen, setOption, socket } from '../kernel/socket.ts';
import {
  addressOf,
  clearSituation,
  makeSituation,
  PROBE_STATES,
  type ProbeState,
  type Situation,
  settle,
} from './situation.ts';
import { REUSE_OPTIONS, setReuse } from './trial.ts';

/** What a newcomer gets on a port where a server left something. */
export interface ProbeRow {
  state: ProbeState;
  /** The host that the old server was bound to, and the one that the newcomer binds. */
  oldHost: string;
  newHost: string;
  /** The options that the old server had set. */
  old: ReuseOptions;
  /** By the newcomer's options: `ok`, or the name of the errno that bind(2) or listen(2) answered. */
  outcomes: Record<ReuseOptions, string>;
  /** The first choice of `reuse: 'auto'` that succeeds; undefined where it has to wait, or to give up on a listener. */
  auto?: ReuseOptions;
}

/** What this system does. */
export interface ProbeReport {
  platform: string;
  release: string;
  node: string;
  rows: ProbeRow[];
}

/** The same address, wildcard against specific and back, one family's wildcard against the other's, and two that never meet. */
const HOSTS: readonly [oldHost: string, newHost: string][] = [
  ['127.0.0.1', '127.0.0.1'],
  ['::1', '::1'],
  ['0.0.0.0', '127.0.0.1'],
  ['127.0.0.1', '0.0.0.0'],
  ['::', '0.0.0.0'],
  ['0.0.0.0', '::'],
  ['127.0.0.1', '::1'],
];

/**
 * Tries on this system what a bind does: every set of reuse options of a newcomer against every one of an old server, for
 * every state in which something of it can be left, on the same address, on wildcards and across families. Takes well
 * under a second, uses ports on loopback that the kernel chooses, and leaves nothing behind.
 *
 * @throws RelistenError `ERR_NO_FFI` where the C library cannot be called
 */
export async function probe(): Promise<ProbeReport> {
  const hosts = HOSTS.filter(pair => hasIPv6() || !pair.some(host => host.includes(':')));
  const situations: Situation[] = [];
  try {
    for (const host of new Set(hosts.map(([oldHost]) => oldHost))) {
      for (const state of PROBE_STATES) {
        for (const old of REUSE_OPTIONS) situations.push(makeSituation(state, host, old));
      }
    }
    const unsettled = new Set(await settle(situations));
    const settled = situations.filter(situation => !unsettled.has(situation));
    const rows = hosts.flatMap(([oldHost, newHost]) =>
      settled.filter(({ host }) => host === oldHost).map(situation => tryNewcomers(situation, newHost)),
    );
    return { platform: process.platform, release: release(), node: process.version, rows };
  } finally {
    situations.forEach(clearSituation);
  }
}

function hasIPv6(): boolean {
  return tryListen('::1', 0, 'none') === 'ok';
}

function tryNewcomers({ state, host, old, port }: Situation, newHost: string): ProbeRow {
  const outcomes = Object.fromEntries(REUSE_OPTIONS.map(reuse => [reuse, tryListen(newHost, port, reuse)]));
  const row = { state, oldHost: host, newHost, old, outcomes: outcomes as Record<ReuseOptions, string> };
  const auto = chooseAuto(state, row.outcomes);
  return auto === undefined ? row : { ...row, auto };
}

/** What `reuse: 'auto'` makes of these outcomes (bind/plan.ts). */
export function chooseAuto(state: ProbeState, outcomes: Record<ReuseOptions, string>): ReuseOptions | undefined {
  const steps = planBind('auto').filter(step => !(step.unlessListening && state === 'LISTEN'));
  return steps.find(({ reuse }) => outcomes[reuse] === 'ok')?.reuse;
}

/** Binds and listens, as two sockets that are bound may still not both listen. */
function tryListen(host: string, port: number, reuse: ReuseOptions): string {
  const address = addressOf(host, port);
  let fd: number | undefined;
  try {
    fd = socket(address.family);
    setReuse(fd, reuse);
    if (address.family === 'IPv6') setOption(fd, 'IPV6_V6ONLY', 0);
    bind(fd, address);
    listen(fd, 1);
    return 'ok';
  } catch (error) {
    return codeOf(error) ?? 'failed';
  } finally {
    if (fd !== undefined) close(fd);
  }
}
