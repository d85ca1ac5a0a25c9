import { setTimeout as sleep } from 'node:timers/promises';
import type { SocketAddress } from '../address.ts';
import type { ReuseOptions, SocketState } from '../inspection.ts';
import { codeOf } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import { readTcpTable } from '../kernel/proc-net.ts';
import { dumpTcp, hasSockDiag } from '../kernel/sock-diag.ts';
import {
  accept,
  bind,
  connect,
  listen,
  localAddress,
  peerAddress,
  resetOnClose,
  setOption,
  socket,
} from '../kernel/socket.ts';
import type { TcpAddress } from './facts.ts';
import { setReuse } from './trial.ts';

/*
 * What a server can leave on its port, made on loopback and on a port that the kernel chooses, with system calls alone.
 */

/** The states in which a socket can block a bind. CLOSE is one that is bound only. */
export const PROBE_STATES = [
  'LISTEN',
  'CLOSE',
  'ESTABLISHED',
  'FIN_WAIT2',
  'CLOSE_WAIT',
  'TIME_WAIT',
] as const satisfies SocketState[];

export type ProbeState = (typeof PROBE_STATES)[number];

/** A port of its own, on which a socket is in `state`, of a server that had `old` set and was bound to `host`. */
export interface Situation {
  state: ProbeState;
  host: string;
  old: ReuseOptions;
  port: number;
  /** Open in this process. */
  fds: number[];
  /** Both ends of what is in TIME_WAIT, seen from the client. */
  timeWait?: { local: SocketAddress; peer: SocketAddress };
}

const ATTEMPTS = 10;

/** Makes it. FIN_WAIT2 takes the peer some 40 ms to acknowledge: see {@link settle}. */
export function makeSituation(state: ProbeState, host: string, old: ReuseOptions): Situation {
  for (let attempt = 1; ; attempt++) {
    const fds: number[] = [];
    try {
      return arrange(state, host, old, fds);
    } catch (error) {
      fds.forEach(close);
      // Somebody else took the port in between.
      if (codeOf(error) !== 'EADDRINUSE' || attempt === ATTEMPTS) throw error;
    }
  }
}

function arrange(state: ProbeState, host: string, old: ReuseOptions, fds: number[]): Situation {
  const port = freePort();
  const address = addressOf(host, port);
  const server = socket(address.family);
  fds.push(server);
  setReuse(server, old);
  if (address.family === 'IPv6') setOption(server, 'IPV6_V6ONLY', 0);
  bind(server, address);
  const situation: Situation = { state, host, old, port, fds };
  if (state === 'CLOSE') return situation;
  listen(server, 1);
  if (state === 'LISTEN') return situation;

  // A dual-stack server is reached over IPv4, as that is where the families meet.
  const target = addressOf(host === '::1' ? '::1' : '127.0.0.1', port);
  const client = socket(target.family);
  fds.push(client);
  connect(client, target);
  const ends = { local: localAddress(client), peer: peerAddress(client) };
  const accepted = accept(server);
  fds.push(accepted);
  const drop = (fd: number) => {
    fds.splice(fds.indexOf(fd), 1);
    close(fd);
  };
  drop(server);
  // Whoever closes first has the state that waits.
  if (state === 'CLOSE_WAIT') drop(client);
  if (state === 'FIN_WAIT2' || state === 'TIME_WAIT') drop(accepted);
  if (state === 'TIME_WAIT') {
    drop(client);
    if (ends.local && ends.peer) situation.timeWait = { local: ends.local, peer: ends.peer };
  }
  return situation;
}

/**
 * A port that no socket of either family has. Asked with SO_REUSEADDR, the kernel would give the port of another situation
 * too, where only its host differs.
 */
function freePort(): number {
  const bindTo = (host: string) => {
    const fd = socket(addressOf(host, 0).family);
    try {
      if (host === '::') setOption(fd, 'IPV6_V6ONLY', 0);
      bind(fd, addressOf(host, 0));
      return portOf(localAddress(fd));
    } finally {
      close(fd);
    }
  };
  try {
    return bindTo('::');
  } catch {
    return bindTo('0.0.0.0'); // no IPv6
  }
}

const SETTLE_MS = 1000;
const POLL_MS = 5;

/** Waits until every situation is what it is to be; answers those that are not after a second. */
export async function settle(situations: readonly Situation[]): Promise<Situation[]> {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const states = statesByPort(new Set(situations.map(({ port }) => port)));
    const unsettled = situations.filter(({ port, state }) => !states.has(`${port} ${state}`));
    if (unsettled.length === 0 || performance.now() > deadline) return unsettled;
    await sleep(POLL_MS);
  }
}

/** /proc/net does not show sockets that are bound only, but those need no time to settle. */
function statesByPort(ports: ReadonlySet<number>): Set<string> {
  const netlink = hasSockDiag();
  const sockets = (netlink ? dumpTcp() : readTcpTable()).filter(({ localPort }) => ports.has(localPort));
  const states = sockets.map(({ localPort, state }) => `${localPort} ${state}`);
  return new Set(netlink ? states : [...states, ...[...ports].map(port => `${port} CLOSE`)]);
}

/** Takes it away without a trace: nothing stays in TIME_WAIT. */
export function clearSituation({ fds, timeWait }: Situation): void {
  for (const fd of fds.splice(0)) {
    resetOnClose(fd);
    close(fd);
  }
  if (timeWait) assassinate(timeWait);
}

/**
 * Ends a TIME_WAIT on this host without any right, by what RFC 1337 calls assassination: a new SYN of the same client is
 * answered with an old ACK, the client resets, and the reset ends it. Where net.ipv4.tcp_rfc1337 forbids that, the kernel
 * ends it after its 60 s.
 */
function assassinate({ local, peer }: { local: SocketAddress; peer: SocketAddress }): void {
  const fd = socket(local.family, { nonblocking: true });
  try {
    setOption(fd, 'SO_REUSEADDR', 1);
    resetOnClose(fd);
    bind(fd, local);
    connect(fd, peer);
  } catch {
    // EINPROGRESS: all that was to happen has happened, as loopback delivers at once.
  } finally {
    close(fd);
  }
}

export function addressOf(host: string, port: number): TcpAddress {
  return { family: host.includes(':') ? 'IPv6' : 'IPv4', host, port };
}

function portOf(address: SocketAddress | undefined): number {
  return address && 'port' in address ? address.port : 0;
}
