import type { SocketAddress } from '../address.ts';
import type { SocketState } from '../inspection.ts';

/** One TCP socket of the kernel's tables, whichever way it was read. */
export interface TcpSocket {
  readonly family: 'IPv4' | 'IPv6';
  readonly state: SocketState;
  readonly localPort: number;
  /** An IPv6 socket with an IPv4 peer shows `::ffff:a.b.c.d` on both ends. */
  readonly local: SocketAddress;
  /** Undefined for LISTEN and for sockets that are bound only. */
  readonly peer: SocketAddress | undefined;
  /** 0 for a socket that no process has. */
  readonly inode: number;
  readonly uid: number;
  /** Milliseconds until the kernel removes it: TIME_WAIT, and FIN_WAIT2 without an owner. */
  readonly remainingMs: number | undefined;
  /** Of an IPv6 listener or bound socket, where the kernel tells. */
  readonly v6only: boolean | undefined;
}

const STATES: readonly (SocketState | undefined)[] = [
  undefined,
  'ESTABLISHED',
  'SYN_SENT',
  'SYN_RECV',
  'FIN_WAIT1',
  'FIN_WAIT2',
  'TIME_WAIT',
  'CLOSE',
  'CLOSE_WAIT',
  'LAST_ACK',
  'LISTEN',
  'CLOSING',
  'SYN_RECV', // TCP_NEW_SYN_RECV, a request socket
];

/** The state with this number (include/net/tcp_states.h), as idiag_state and /proc/net/tcp give it. */
export function stateOf(number: number): SocketState {
  return STATES[number] ?? 'CLOSE';
}
