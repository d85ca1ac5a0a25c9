import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type Address, formatAddress, parseAddress } from '../address.ts';
import { RelistenError } from '../errors.ts';
import type { BindTrial, Inspection } from '../inspection.ts';
import { codeOf } from '../kernel/errno.ts';
import { processFacts } from '../kernel/procfs.ts';
import { ephemeralPorts, firstUnprivilegedPort, sysctl } from '../kernel/sysctl.ts';
import { inspectByTools } from './by-tools.ts';
import { explain } from './explain.ts';
import type { Facts, Self, System, TcpAddress } from './facts.ts';
import type { InspectOptions } from './inspect.ts';
import { inspectTcp, type TcpFacts } from './tcp.ts';
import { inspectUnix } from './unix.ts';

/** What {@link inspect} does, with all that it needs: loaded when it is called. */
export async function examine(address: string | number | Address, options: InspectOptions): Promise<Inspection> {
  const asked = parseAddress(address);
  const self = describeSelf(options);
  const every = options.everyOwner ?? false;
  const seen =
    'path' in asked ? await inspectUnix(asked.path, every) : await lookAtTcp(asked, await resolve(asked), every);
  const facts: Facts = {
    longestMs: undefined,
    listeningPorts: new Set(),
    ...seen,
    asked,
    self,
    system: readSystem(seen.trials),
  };
  const { listeners, blockers, counts, trials } = facts;
  const unseen = [...facts.unseen, ...unnamed(facts)];
  return { address: formatAddress(asked), ...explain(facts), listeners, blockers, counts, trials, unseen };
}

/** The address that a server would bind; `::` where no host was named, which covers IPv4 as well. */
async function resolve({ host, port }: { host?: string; port: number }): Promise<TcpAddress> {
  if (host === undefined)
    return hasIPv6() ? { family: 'IPv6', host: '::', port } : { family: 'IPv4', host: '0.0.0.0', port };
  const literal = isIP(host.split('%')[0] ?? '');
  if (literal !== 0) return { family: literal === 4 ? 'IPv4' : 'IPv6', host, port };
  try {
    const { address, family } = await lookup(host);
    return { family: family === 4 ? 'IPv4' : 'IPv6', host: address, port };
  } catch (cause) {
    throw new RelistenError(`Cannot inspect ${formatAddress({ host, port })}: the name ${host} does not resolve`, {
      code: codeOf(cause) ?? 'ENOTFOUND',
      op: 'inspect',
      address: formatAddress({ host, port }),
      cause,
    });
  }
}

/** Asks the kernel on Linux, and the system's own tools elsewhere. */
function lookAtTcp(asked: Address, target: TcpAddress, every: boolean): TcpFacts | Promise<TcpFacts> {
  return process.platform === 'linux' ? inspectTcp(asked, target, every) : inspectByTools(target);
}

/** A kernel without IPv6 has none of its parameters either. */
function hasIPv6(): boolean {
  return process.platform !== 'linux' || sysctl('net.ipv6.conf.all.disable_ipv6') !== undefined;
}

function describeSelf({ program }: InspectOptions): Self {
  return {
    pid: process.pid,
    uid: process.geteuid?.() ?? 0,
    argv: program?.argv ?? processFacts(process.pid)?.argv ?? [],
    cwd: program?.cwd ?? process.cwd(),
  };
}

function readSystem(trials: readonly BindTrial[]): System {
  // Asking for the interfaces takes longer than all the rest here.
  const interfaces = trials.some(({ code }) => code === 'EADDRNOTAVAIL') ? networkInterfaces() : {};
  return {
    ephemeralPorts: ephemeralPorts(),
    reservedPorts: sysctl('net.ipv4.ip_local_reserved_ports'),
    firstUnprivilegedPort: firstUnprivilegedPort(),
    hosts: Object.values(interfaces).flatMap(list => (list ?? []).map(({ address }) => address)),
    now: Date.now(),
  };
}

/** Says whose processes were hidden, where that is why nobody was found. */
function unnamed({ listeners, blockers, self }: Facts): string[] {
  const wanted = (listeners.length > 0 ? listeners : blockers).filter(({ inode }) => inode !== 0);
  const hidden =
    wanted.length > 0 &&
    wanted.some(({ uid }) => uid !== self.uid) &&
    wanted.every(({ owners }) => owners.length === 0);
  return hidden && self.uid !== 0 ? ["Other users' processes could not be seen: only root may look into them"] : [];
}
