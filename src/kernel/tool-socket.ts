import type { SocketAddress } from '../address.ts';
import type { SocketState } from '../inspection.ts';

/** One TCP socket as a system's own tools show it, where relisten cannot ask the kernel. */
export interface ToolSocket {
  state: SocketState;
  local: SocketAddress & { port: number };
  peer?: SocketAddress & { port: number };
  /** Undefined where the tool does not tell, or no process has it. */
  pid?: number;
}

/**
 * `127.0.0.1:3000`, `[::1]:3000`, `*:3000`, or with a dot before the port as BSD writes it; undefined for anything else and
 * for the port `*`.
 *
 * @param family of the socket, for `*`
 */
export function parseToolAddress(text: string, family: 'IPv4' | 'IPv6'): ToolSocket['local'] | undefined {
  const [, bracketed, plain = '', port] = /^(?:\[([^\]]*)\]|([^[\]]*))[.:](\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65535) return undefined;
  const name = (bracketed ?? plain).replace(/%.*$/, '');
  const host = name === '*' ? (family === 'IPv4' ? '0.0.0.0' : '::') : name;
  if (!/^[\da-f.:]+$/i.test(host)) return undefined;
  return { family: host.includes(':') ? 'IPv6' : 'IPv4', host, port: Number(port) };
}

/** The states as BSD, macOS and Windows spell them. */
const STATES: Record<string, SocketState> = {
  LISTEN: 'LISTEN',
  LISTENING: 'LISTEN',
  ESTABLISHED: 'ESTABLISHED',
  SYN_SENT: 'SYN_SENT',
  SYN_RCVD: 'SYN_RECV',
  SYN_RECEIVED: 'SYN_RECV',
  FIN_WAIT_1: 'FIN_WAIT1',
  FIN_WAIT1: 'FIN_WAIT1',
  FIN_WAIT_2: 'FIN_WAIT2',
  FIN_WAIT2: 'FIN_WAIT2',
  TIME_WAIT: 'TIME_WAIT',
  CLOSE_WAIT: 'CLOSE_WAIT',
  LAST_ACK: 'LAST_ACK',
  CLOSING: 'CLOSING',
  CLOSED: 'CLOSE',
  CLOSE: 'CLOSE',
  BOUND: 'CLOSE',
};

/** Undefined for a word that is none of them, as in a translated Windows. */
export function parseToolState(word: string): SocketState | undefined {
  return Object.hasOwn(STATES, word) ? STATES[word] : undefined;
}
