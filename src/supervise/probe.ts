import { connect, type Socket } from 'node:net';
import type { SocketAddress } from '../address.ts';
import { type LocalAddress, overlaps } from '../bind/overlap.ts';
import { isShortage } from '../kernel/errno.ts';
import { descriptorOf } from '../kernel/handle.ts';
import { hasLibc } from '../kernel/libc.ts';
import { connectAbstract } from '../kernel/pipe-handle.ts';
import { dumpTcp } from '../kernel/sock-diag.ts';
import { inodeOf } from '../kernel/stat.ts';
import { unixPeer } from '../kernel/unix-diag.ts';

/*
 * Asking a starting generation through a listener that the old one accepts from, too. A connection counts only when a
 * process of the new generation has its other end: the kernel says which socket that is (sock_diag(7)), and /proc
 * whose. One that the old generation got is closed again without a word.
 */

const ANSWER_MS = 5_000;
/** The old generation may get as many before one is given up for a while. */
const CONNECTIONS = 8;
const ACCEPT_LOOKS = 40;
const LOOK_MS = 5;

/** What is known of the generation that is asked. */
export interface Asked {
  /** Whether a process of it has the socket of that inode. */
  has(inode: number): boolean;
  /** Whether no process of another one has the listener of that address: what is accepted there is accepted by it. */
  isAlone(address: SocketAddress): boolean;
  /** A connection was accepted and closed before anybody could see by whom, where others have the listener as well. */
  onUnseen(): void;
}

/** Whether one of the listeners' connections was accepted by the generation. */
export async function acceptedBy(listeners: LocalAddress[], asked: Asked, signal: AbortSignal): Promise<boolean> {
  for (const listener of listeners) {
    const socket = await reach(listener, asked, signal);
    socket?.destroy();
    if (socket) return true;
  }
  return false;
}

/** Whether a status says that all is well: 200 to 399. */
export function isGood(status: number | undefined): boolean {
  return status !== undefined && status >= 200 && status < 400;
}

/**
 * The status that GET answers: the first good one of the listeners', else the last of any; undefined where nobody answers.
 *
 * @param where a path, asked of each listener and counted only from the generation; or a URL, believed as it stands
 */
export async function httpStatus(
  where: string,
  listeners: LocalAddress[],
  asked: Asked,
  signal: AbortSignal,
): Promise<number | undefined> {
  if (where.includes('://')) return statusOfUrl(where, signal);
  let status: number | undefined;
  for (const listener of listeners) {
    const socket = await reach(listener, asked, signal);
    if (!socket) continue;
    status = (await statusOf(socket, where)) ?? status;
    socket.destroy();
    if (isGood(status)) break;
  }
  return status;
}

async function statusOfUrl(url: string, signal: AbortSignal): Promise<number | undefined> {
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
    const response = await fetch(url, { signal: limit, redirect: 'manual' });
    await response.body?.cancel();
    return response.status;
  } catch {
    return undefined;
  }
}

/** A connection that the generation has accepted: if the old one got the first, then one of the next. */
async function reach(listener: LocalAddress, asked: Asked, signal: AbortSignal): Promise<Socket | undefined> {
  for (let connection = 0; connection < CONNECTIONS && !signal.aborted; connection++) {
    const socket = await open(listener, signal);
    if (!socket) return undefined;
    if (await isOurs(socket, listener.address, asked, signal)) return socket;
    socket.destroy();
  }
  return undefined;
}

async function open(listener: LocalAddress, signal: AbortSignal): Promise<Socket | undefined> {
  for (const address of reachable(listener)) {
    const socket = await openTo(address, signal);
    if (socket) return socket;
  }
  return undefined;
}

/**
 * Where a listener is reached from this host, in the order in which it is tried. A wildcard is no address to connect to
 * everywhere.
 *
 * | listens on       | is reached at                                                                   |
 * |------------------|---------------------------------------------------------------------------------|
 * | 0.0.0.0          | 127.0.0.1                                                                       |
 * | :: and v6only    | ::1                                                                             |
 * | ::               | ::1, else 127.0.0.1: there may be IPv6 without it (ip-sysctl.rst, disable_ipv6) |
 * | anything else    | just there                                                                      |
 */
function reachable({ address, v6only }: LocalAddress): SocketAddress[] {
  if (address.family === 'unix' || !['0.0.0.0', '::'].includes(address.host)) return [address];
  const overIPv4: SocketAddress = { family: 'IPv4', host: '127.0.0.1', port: address.port };
  if (address.host === '0.0.0.0') return [overIPv4];
  const overIPv6: SocketAddress = { family: 'IPv6', host: '::1', port: address.port };
  return v6only ? [overIPv6] : [overIPv6, overIPv4];
}

async function openTo(address: SocketAddress, signal: AbortSignal): Promise<Socket | undefined> {
  let socket: Socket;
  try {
    socket = connectTo(address);
  } catch {
    return undefined;
  }
  socket.setTimeout(ANSWER_MS, () => socket.destroy());
  socket.on('error', () => {}); // close follows
  // Not by connect's own option, which leaves a listener on the signal for each connection (Node 20): it warns from 11 on.
  const end = () => socket.destroy();
  signal.addEventListener('abort', end);
  socket.once('close', () => signal.removeEventListener('abort', end));
  if (!socket.connecting) return socket;
  return new Promise(fulfil => {
    socket.once('connect', () => fulfil(socket));
    socket.once('close', () => fulfil(undefined));
  });
}

/** Open until we close it, whatever the other end does: while it is, the kernel tells whose that is. */
function connectTo(address: SocketAddress): Socket {
  const options = { allowHalfOpen: true };
  if (address.family !== 'unix') return connect({ ...options, port: address.port, host: address.host });
  const { path } = address;
  return path.startsWith('\0') && hasLibc() ? connectAbstract(path) : connect({ ...options, path });
}

/** Waits until somebody has accepted, and tells whether it was the generation. */
async function isOurs(socket: Socket, address: SocketAddress, asked: Asked, signal: AbortSignal): Promise<boolean> {
  const otherEnd = address.family === 'unix' ? unixEnd(socket) : tcpEnd(socket, address.port);
  let accepted = 0;
  let ended = false;
  socket.once('end', () => {
    ended = true;
  });
  socket.resume();
  for (let look = 0; look < ACCEPT_LOOKS && !signal.aborted && !socket.destroyed; look++) {
    const inode = inodeFrom(otherEnd);
    if (inode === undefined) return true;
    if (inode !== 0) {
      if (asked.has(inode)) return true;
      // A moment may lie between the socket's inode and its descriptor; then somebody else has it.
      if (++accepted === 2) return false;
    }
    // Somebody has accepted it, and closed it at once: it is no longer anybody's.
    if (ended && inode === 0) return isAlone(address, asked);
    await new Promise(fulfil => setTimeout(fulfil, LOOK_MS));
  }
  return ended && isAlone(address, asked);
}

function isAlone(address: SocketAddress, { isAlone, onUnseen }: Asked): boolean {
  if (isAlone(address)) return true;
  onUnseen();
  return false;
}

/** Undefined where the kernel has no sock_diag(7): then whoever answers is believed. */
function inodeFrom(otherEnd: () => number): number | undefined {
  try {
    return otherEnd();
  } catch (error) {
    // A kernel that has sock_diag says that, too: it is asked again.
    return isShortage(error) ? 0 : undefined;
  }
}

/** What an accepted connection is in while we keep our end open: also after the server has shut its own down. */
const ACCEPTED = ['ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'] as const;

/** Asks for the inode of a connection's other end; 0 until it is accepted, and once nobody has it any more. */
function tcpEnd(socket: Socket, serverPort: number): () => number {
  const { localFamily, localAddress: host = '', localPort: port = 0 } = socket;
  const own = { address: { family: localFamily === 'IPv6' ? ('IPv6' as const) : ('IPv4' as const), host, port } };
  return () => {
    // The kernel picks them out: a busy port has thousands in TIME_WAIT, and this is asked while clients are served.
    const found = dumpTcp({ localPort: serverPort, peerPort: port, states: ACCEPTED });
    // Two hosts may have the same port for their clients.
    const other = found.length > 1 ? found.find(({ peer }) => peer && overlaps(own, { address: peer })) : found[0];
    return other?.inode ?? 0;
  };
}

function unixEnd(socket: Socket): () => number {
  const fd = descriptorOf(socket);
  const inode = fd === undefined ? 0 : inodeOf(fd);
  return () => unixPeer(inode);
}

/** Sends the smallest request and reads the status line; undefined where none comes, or what is no HTTP. */
function statusOf(socket: Socket, path: string): Promise<number | undefined> {
  return new Promise(fulfil => {
    let head = '';
    socket.on('data', (chunk: Buffer) => {
      head += chunk.toString('latin1');
      const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1];
      if (status) fulfil(Number(status));
      else if (head.length > 15) fulfil(undefined);
    });
    for (const event of ['end', 'close']) socket.once(event, () => fulfil(undefined));
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: relisten\r\nConnection: close\r\n\r\n`);
  });
}
