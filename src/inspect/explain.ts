import { formatAddress } from '../address.ts';
import { clock } from '../bind/failure.ts';
import type { BindTrial, Inspection, Reason, SocketFacts } from '../inspection.ts';
import { type Facts, ownersOf } from './facts.ts';
import { count, describeOwners, describeUnseen, duration, showAddress, showCounts } from './phrase.ts';
import { codesOf, isOutgoing, reasonOf } from './reason.ts';
import { relistenAmong } from './supervisor.ts';

/** What a reason says: the summary without a full stop, and what to do. */
interface Explanation {
  summary: string;
  advice: string[];
}

/** Turns facts into what a person at the terminal wants: what, whose, until when, what to do. */
export function explain(facts: Facts): Pick<Inspection, 'reason' | 'summary' | 'advice'> {
  const reason = reasonOf(facts);
  return { reason, ...EXPLANATIONS[reason](facts) };
}

const EXPLANATIONS: Record<Reason, (facts: Facts) => Explanation> = {
  free: explainFree,
  'live-listener': facts => ({
    summary: `${name(facts)} is in use by ${holders(facts)}`,
    advice: adviseOnOwner(facts),
  }),
  'orphan-listener': facts => ({
    summary: `${name(facts)} is in use by an orphan of an earlier run, ${holders(facts)}`,
    advice: [`What started it has ended and left it running. Stop it: relisten free ${commandLineName(facts)}`],
  }),
  'held-by-relisten': explainHeld,
  'foreign-reuseport-group': explainForeignGroup,
  'other-family-or-wildcard': explainOtherAddress,
  v6only: facts => ({
    summary: `${name(facts)} would cover IPv4 too, and there ${listenerName(facts)} is in use by ${holders(facts)}`,
    advice: [
      'Listen with IPV6_V6ONLY set (ipv6Only: true in Node): that bind succeeds beside it',
      ...adviseOnOwner(facts),
    ],
  }),
  'time-wait': explainTimeWait,
  'leftover-connections': explainLeftovers,
  'bound-only': facts => ({
    summary: `${name(facts)} is bound, but not listened on, by ${holders(facts, facts.blockers)}`,
    advice: [
      `Clients are refused meanwhile. If it does not listen soon, stop it: relisten free ${commandLineName(facts)}`,
    ],
  }),
  'ephemeral-client': explainClient,
  'no-right': explainNoRight,
  'no-such-address': explainNoAddress,
  'live-unix-socket': facts => ({
    summary: `${name(facts)} is in use by ${facts.listeners.length > 0 ? holders(facts) : 'something that answers, but could not be seen from here (another network namespace)'}`,
    advice: adviseOnOwner(facts),
  }),
  'stale-unix-socket': facts => ({
    summary: `${name(facts)} is a socket file that a server left behind, and nothing listens on it`,
    advice: [
      `Remove it: rm ${commandLineName(facts)}`,
      'listen() of relisten and relisten run remove it by themselves',
    ],
  }),
  'not-a-socket': facts => ({
    summary: `${name(facts)} is a file, and not a socket`,
    advice: ['Choose another path, or move the file away'],
  }),
  unknown: explainUnknown,
};

function explainFree(facts: Facts): Explanation {
  if ('port' in facts.target && facts.target.port === 0) {
    return { summary: 'Port 0 lets the kernel choose a free port', advice: [] };
  }
  const tried = facts.trials.length > 0;
  return { summary: `${name(facts)} is free${tried ? '' : ', as far as could be seen'}`, advice: [] };
}

function explainHeld(facts: Facts): Explanation {
  const owners = ownersOf(facts.listeners);
  const relisten = relistenAmong(owners);
  const run = owners.filter(owner => owner !== relisten?.facts);
  const called = relisten?.name === undefined ? 'relisten' : `the relisten ${relisten.name}`;
  const what = run.length === 0 ? 'which runs nothing there now' : `which runs ${describeOwners(run)}`;
  const restart =
    relisten?.name === undefined
      ? 'relisten restart (relisten list has its name)'
      : `relisten restart ${relisten.name}`;
  return {
    summary: `${name(facts)} is held by ${called} (pid ${relisten?.facts.pid}), ${what}`,
    advice: [`Restart what it runs: ${restart}`, `Or end both: ${restart.replace('restart', 'stop')}`],
  };
}

function explainForeignGroup(facts: Facts): Explanation {
  const [listener] = facts.listeners;
  const user = listener?.owners[0]?.user ?? `uid ${listener?.uid}`;
  return {
    summary: `${name(facts)} is in use by ${holders(facts)}, whose SO_REUSEPORT group only user ${user} can join`,
    advice: [
      `Linux lets a socket join only with the effective uid of the first (socket(7), SO_REUSEPORT): run as ${user}`,
      ...adviseOnOwner(facts),
    ],
  };
}

function explainOtherAddress(facts: Facts): Explanation {
  const [listener] = facts.listeners;
  const wildcard = listener && 'host' in listener.local && ['::', '0.0.0.0'].includes(listener.local.host);
  const covers = wildcard
    ? `${listenerName(facts)}, which covers it, is in use`
    : `it covers ${listenerName(facts)}, which is in use`;
  return { summary: `${name(facts)} is not free: ${covers} by ${holders(facts)}`, advice: adviseOnOwner(facts) };
}

function explainTimeWait(facts: Facts): Explanation {
  const sockets = count(total(facts), 'closed connection', 'closed connections');
  const until = untilWhen(facts);
  if (facts.trials.length === 0) {
    return {
      summary: `${name(facts)} has ${sockets} (${showCounts(facts.counts)}) left, which ${blocks(facts)} a server that does not set SO_REUSEADDR`,
      advice: [setsIt('SO_REUSEADDR')],
    };
  }
  const option = wayPast(facts);
  if (option !== undefined) {
    return {
      summary: `${name(facts)} is free for a server that sets ${option}; without it, ${sockets} (${showCounts(facts.counts)}) ${blocks(facts)} it${until}`,
      advice: [setsIt(option), ...adviseOnTimer(facts)],
    };
  }
  return {
    summary: `${name(facts)} is blocked${until && `${until},`} by ${sockets} (${showCounts(facts.counts)}) of a server that did not set SO_REUSEADDR`,
    advice: [
      ...adviseOnTimer(facts),
      'For good: set SO_REUSEADDR in the server before it binds. relisten run does that for it from outside',
    ],
  };
}

function explainLeftovers(facts: Facts): Explanation {
  const owners = ownersOf(facts.blockers);
  const whose = owners.length > 0 ? `, open in ${describeOwners(owners)}` : '';
  const connections = count(total(facts), 'connection', 'connections');
  const summary = `Nothing listens on ${name(facts)} any more, but ${connections} of the server that did (${showCounts(facts.counts)}) still ${blocks(facts)} it${whose}`;
  const option = wayPast(facts);
  if (option !== undefined) {
    return { summary, advice: [`A server that sets ${option} can listen beside them. ${setsIt(option)}`] };
  }
  const end =
    owners.length > 0
      ? `They go when that process closes them. Stop it: relisten free ${commandLineName(facts)}`
      : `They go when their peers answer or the kernel gives up: relisten wait ${commandLineName(facts)} --until free`;
  return {
    summary,
    advice: [
      end,
      'For good: set SO_REUSEADDR in the server before it binds. relisten run does that for it from outside',
    ],
  };
}

function explainClient(facts: Facts): Explanation {
  const clients = facts.blockers.filter(socket => isOutgoing(socket, facts));
  const [client] = clients;
  const [first, last] = facts.system.ephemeralPorts;
  const port = 'port' in facts.target ? facts.target.port : 0;
  const peer = client?.peer ? ` to ${showAddress(client.peer)}` : '';
  return {
    summary: `${name(facts)} was given to a client as the local port of its connection${peer} (${client?.state}): ${holders(facts, clients)}`,
    advice: [
      ...(client && client.inode === 0 ? adviseOnTimer(facts) : ['It is free when that connection is closed']),
      `Ports ${first} to ${last} go to clients: listen on one outside that range`,
      ...adviseToReserve(facts, port),
    ],
  };
}

/** What is reserved already must be named again. */
function adviseToReserve({ system }: Facts, port: number): string[] {
  if (system.reservedPorts === undefined) return [];
  const reserved = [system.reservedPorts, String(port)].filter(text => text !== '').join(',');
  return [
    `Or keep this one from them (ip(7), ip_local_port_range): sysctl -w net.ipv4.ip_local_reserved_ports=${reserved}`,
  ];
}

function explainNoRight(facts: Facts): Explanation {
  const { target, system } = facts;
  if (target.family === 'unix') {
    return {
      summary: `${name(facts)} is forbidden`,
      advice: ['The folder must let you write and enter, and a socket file that is there must let you write (unix(7))'],
    };
  }
  if (target.port >= system.firstUnprivilegedPort) {
    return {
      summary: `${name(facts)} is forbidden, although every user may bind ports from ${system.firstUnprivilegedPort} on`,
      advice: [
        'Look for a policy that forbids it: SELinux, AppArmor, Landlock, a seccomp filter, a BPF program of the control group',
      ],
    };
  }
  return {
    summary: `${name(facts)} is forbidden: ports below ${system.firstUnprivilegedPort} need root or CAP_NET_BIND_SERVICE`,
    advice: [
      `Let everybody bind it: sysctl -w net.ipv4.ip_unprivileged_port_start=${target.port}`,
      'Or give the program the right: setcap cap_net_bind_service=+ep <program>, AmbientCapabilities= in its systemd unit',
      'Or have it handed an open socket: systemd socket activation, or relisten run as root',
    ],
  };
}

function explainNoAddress(facts: Facts): Explanation {
  const { target, system } = facts;
  const [code] = codesOf(facts);
  if (target.family === 'unix') {
    return { summary: `There is no folder for ${name(facts)}`, advice: ['Make the folder first'] };
  }
  if (code === 'EAFNOSUPPORT') {
    return { summary: `This kernel has no ${target.family}`, advice: ['Listen on an address of the other family'] };
  }
  if (code === 'EINVAL') {
    return {
      summary: `${target.host} needs to say on which interface`,
      advice: ['Write the interface behind the address: [fe80::1%eth0]:3000'],
    };
  }
  return {
    summary: `This host has no address ${target.host}`,
    advice: [
      `It has ${system.hosts.join(', ')}`,
      'An address that comes later can be bound with net.ipv4.ip_nonlocal_bind=1 (net.ipv6 likewise), or with IP_FREEBIND',
    ],
  };
}

function explainUnknown(facts: Facts): Explanation {
  const [code] = codesOf(facts).filter(answer => answer !== undefined);
  return {
    summary: `${name(facts)} cannot be bound (${code ?? 'unknown error'}), and nothing that could be seen is in the way`,
    advice: [
      'Before Linux 6.8 a socket that is bound and does not listen cannot be seen. A BPF program can refuse a bind, too',
    ],
  };
}

/** As it was asked. */
function name({ asked }: Facts): string {
  return 'path' in asked
    ? formatAddress(asked)
    : asked.host === undefined
      ? `Port ${asked.port}`
      : formatAddress(asked);
}

function listenerName({ listeners }: Facts): string {
  return listeners[0] ? showAddress(listeners[0].local) : '';
}

function holders(facts: Facts, sockets: readonly SocketFacts[] = facts.listeners): string {
  const owners = ownersOf(sockets);
  if (owners.some(({ pid }) => pid === facts.self.pid)) return `this process itself (pid ${facts.self.pid})`;
  if (owners.length > 0) return describeOwners(owners);
  const [socket] = sockets;
  if (!socket || (socket.inode === 0 && socket.state !== 'LISTEN')) return 'no process any more';
  return describeUnseen(socket, facts.self.uid);
}

/** Whoever listens must stop, and something may start it again. */
function adviseOnOwner(facts: Facts): string[] {
  const [owner] = ownersOf(facts.listeners);
  if (!owner) return [];
  const free = `relisten free ${commandLineName(facts)}`;
  const take = `Or replace it without a gap: relisten take ${commandLineName(facts)} -- <command>`;
  if (owner.pid === facts.self.pid) return ['Close the server that listens there first'];
  if (owner.unit !== undefined) return [`It belongs to a systemd unit: systemctl stop ${owner.unit}`, take];
  if (/(^|\/)docker-proxy$/.test(owner.argv[0] ?? '') && 'port' in facts.target) {
    return [`A container publishes it: docker ps --filter publish=${facts.target.port}`];
  }
  const again =
    owner.parent === undefined ? '' : ` (its parent, ${owner.parent}, pid ${owner.ppid}, may start it again)`;
  return [`Stop it: ${free}${again}`, take];
}

function adviseOnTimer(facts: Facts): string[] {
  const wait = `Wait for it: relisten wait ${commandLineName(facts)} --until free`;
  return [wait, `Or have the kernel drop them now, as root: relisten free ${commandLineName(facts)}`];
}

function commandLineName({ asked }: Facts): string {
  return formatAddress(asked);
}

function untilWhen({ longestMs, system }: Facts): string {
  if (longestMs === undefined) return '';
  return ` for ${duration(longestMs)} more, until ${clock(system.now + longestMs, { now: system.now, seconds: true })}`;
}

type Option = 'SO_REUSEADDR' | 'SO_REUSEPORT';

/** The option that the old server had set, too, and with which a bind succeeds. */
function wayPast(facts: Facts): Option | undefined {
  const host = facts.target.family === 'unix' ? facts.target.path : facts.target.host;
  const succeeds = (reuse: BindTrial['reuse']) =>
    facts.trials.some(trial => trial.host === host && trial.reuse === reuse && trial.code === undefined);
  return succeeds('address') ? 'SO_REUSEADDR' : succeeds('port') ? 'SO_REUSEPORT' : undefined;
}

/** What does so by itself; relisten tries both options where one is not enough (bind/plan.ts). */
function setsIt(option: Option): string {
  return option === 'SO_REUSEADDR'
    ? 'Node sets SO_REUSEADDR, and so do listen() of relisten and relisten run'
    : 'listen() of relisten sets SO_REUSEPORT where that helps';
}

function blocks(facts: Facts): string {
  return total(facts) === 1 ? 'blocks' : 'block';
}

function total({ counts }: Facts): number {
  return Object.values(counts).reduce((sum, number) => sum + number, 0);
}
