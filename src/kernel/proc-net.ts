import { readFileSync } from 'node:fs';
import type { SocketAddress } from '../address.ts';
import type { SocketState } from '../inspection.ts';
import { decodeIPv4, decodeIPv6 } from './sockaddr.ts';
import { stateOf, type TcpSocket } from './tcp-socket.ts';

/*
 * The socket tables of /proc/net (proc_net(5), net/ipv4/tcp_ipv4.c get_tcp4_sock, net/unix/af_unix.c unix_seq_show): the
 * way to see sockets where there is no FFI for netlink. Sockets that are bound only are not in them.
 */

/** One line of /proc/net/unix. */
export interface UnixSocket {
  /** As in SocketAddress: NUL in front of an abstract name; undefined for an unnamed socket. */
  path: string | undefined;
  state: SocketState;
  inode: number;
}

/** `tm->when` counts in USER_HZ, which is 100 on every architecture that Node runs on (time(7)). */
const MS_PER_TICK = 10;
/** Number of the timer of TIME_WAIT, and of FIN_WAIT2 without an owner (proc_net(5), "tr"). */
const TIMER_TIMEWAIT = 3;

const TCP_LINE =
  /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{2}) [0-9A-F]+:[0-9A-F]+ ([0-9A-F]{2}):([0-9A-F]+) [0-9A-F]+\s+(\d+)\s+\d+ (\d+)/;

/** Sockets of /proc/net/tcp or tcp6; lines that are none are passed over. Only those with `localPort` if it is given. */
export function parseTcpTable(text: string, localPort?: number): TcpSocket[] {
  const port = localPort?.toString(16).toUpperCase().padStart(4, '0');
  const found: TcpSocket[] = [];
  for (const line of text.split('\n')) {
    if (port !== undefined && !line.includes(`:${port} `)) continue;
    const socket = parseTcpLine(line);
    if (socket && (localPort === undefined || socket.localPort === localPort)) found.push(socket);
  }
  return found;
}

function parseTcpLine(line: string): TcpSocket | undefined {
  const match = TCP_LINE.exec(line);
  if (!match) return undefined;
  const [, local = '', localPort = '', peer = '', peerPort = '', state = '', timer = '', when = '', uid, inode] = match;
  if (local.length !== peer.length) return undefined;
  return {
    family: local.length === 8 ? 'IPv4' : 'IPv6',
    state: stateOf(Number.parseInt(state, 16)),
    localPort: Number.parseInt(localPort, 16),
    local: parseAddress(local, localPort),
    peer: peerPort === '0000' ? undefined : parseAddress(peer, peerPort),
    inode: Number(inode),
    uid: Number(uid),
    remainingMs: Number.parseInt(timer, 16) === TIMER_TIMEWAIT ? Number.parseInt(when, 16) * MS_PER_TICK : undefined,
    v6only: undefined,
  };
}

/** The kernel prints each 32-bit word of the address in host order. */
function parseAddress(hex: string, port: string): SocketAddress {
  const bytes = Buffer.from(hex, 'hex').swap32();
  return hex.length === 8
    ? { family: 'IPv4', host: decodeIPv4(bytes), port: Number.parseInt(port, 16) }
    : { family: 'IPv6', host: decodeIPv6(bytes), port: Number.parseInt(port, 16) };
}

const UNIX_LINE = /^[0-9a-f]+: [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) ([0-9A-F]{4}) ([0-9A-F]{2})\s+(\d+)(?: (.*))?$/;
const SO_ACCEPTCON = 0x10000;
/** enum socket_state (include/uapi/linux/net.h): connected. */
const SS_CONNECTED = '03';

/** Stream sockets of /proc/net/unix. A path with a newline in it cannot be told from two lines and is passed over. */
export function parseUnixTable(text: string): UnixSocket[] {
  const found: UnixSocket[] = [];
  for (const line of text.split('\n')) {
    const [, flags = '', type, state, inode, path] = UNIX_LINE.exec(line) ?? [];
    if (type !== '0001') continue;
    const listening = (Number.parseInt(flags, 16) & SO_ACCEPTCON) !== 0;
    found.push({
      path: path?.startsWith('@') ? `\0${path.slice(1)}` : path,
      state: listening ? 'LISTEN' : state === SS_CONNECTED ? 'ESTABLISHED' : 'CLOSE',
      inode: Number(inode),
    });
  }
  return found;
}

/** TCP sockets of the calling thread's network namespace, but for those that are bound only. */
export function readTcpTable(localPort?: number): TcpSocket[] {
  return [...parseTcpTable(read('tcp'), localPort), ...parseTcpTable(read('tcp6'), localPort)];
}

/** Stream sockets of the unix domain in the calling thread's network namespace. */
export function readUnixTable(): UnixSocket[] {
  return parseUnixTable(read('unix'));
}

/** Empty where the system has no such table: no procfs, IPv6 switched off. */
function read(table: 'tcp' | 'tcp6' | 'unix'): string {
  try {
    return readFileSync(`/proc/thread-self/net/${table}`, 'utf8');
  } catch {
    return '';
  }
}
