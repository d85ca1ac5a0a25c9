import { networkInterfaces } from 'node:os';
import { type Address, formatAddress, parseAddress } from '../address.ts';
import { resolveHost } from '../bind/resolve.ts';
import type { BindTrial, Inspection, Reason } from '../inspection.ts';
import { processFacts } from '../kernel/procfs.ts';
import { ephemeralPorts, firstUnprivilegedPort, sysctl } from '../kernel/sysctl.ts';
import { inspectByTools } from './by-tools.ts';
import { explain } from './explain.ts';
import type { Facts, Self, System } from './facts.ts';
import type { InspectOptions } from './inspect.ts';
import { inspectTcp, type TcpFacts } from './tcp.ts';
import { inspectUnix, type UnixFacts } from './unix.ts';

/** What {@link inspect} does, with all that it needs: loaded when it is called. */
export async function examine(given: string | number | Address, options: InspectOptions): Promise<Inspection> {
  const asked = parseAddress(given);
  const look = await lookerAt(asked, options.everyOwner ?? false);
  const first = conclude(asked, await look(), options);
  // What was in the way may be gone by the time of the look: a last second of TIME_WAIT, or another inspection's own trial.
  return PASSING.has(first.reason) ? conclude(asked, await look(), options) : first;
}

const PASSING: ReadonlySet<Reason> = new Set(['unknown', 'bound-only']);

/** How to look at an address; a name is resolved once. The kernel is asked on Linux, the system's own tools elsewhere. */
async function lookerAt(asked: Address, every: boolean): Promise<() => TcpFacts | Promise<TcpFacts | UnixFacts>> {
  if ('path' in asked) return () => inspectUnix(asked.path, every);
  const [target] = await resolveHost(asked, 'inspect');
  return process.platform === 'linux' ? () => inspectTcp(asked, target, every) : () => inspectByTools(target);
}

function conclude(asked: Address, seen: TcpFacts | UnixFacts, options: InspectOptions): Inspection {
  const self = describeSelf(options);
  const system = readSystem(seen.trials);
  const facts: Facts = { longestMs: undefined, listeningPorts: new Set(), ...seen, asked, self, system };
  const { listeners, blockers, counts, trials } = facts;
  const unseen = [...facts.unseen, ...unnamed(facts)];
  return { address: formatAddress(asked), ...explain(facts), listeners, blockers, counts, trials, unseen };
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
