import { IPPROTO_TCP } from './constants.ts';
import { call } from './libc.ts';
import { describeSocket } from './socket.ts';
import { sysctl } from './sysctl.ts';

const TCP_INFO = 11;
/** Up to tcpi_sacked: of a listener, the two last are its accept queue and the limit (net/ipv4/tcp.c, tcp_get_info). */
const TCP_INFO_BYTES = 32;
const UNACKED_OFFSET = 24;
const SACKED_OFFSET = 28;

/** For a listener of our own: the kernel caps it at net.core.somaxconn, 4096 by default (listen(2)). */
export const AMPLE_BACKLOG = 4_096;

/**
 * How many connections may wait in a listener's accept queue: what is left of the backlog after the kernel capped it at
 * net.core.somaxconn (listen(2)). A unix socket does not tell; the cap is then computed.
 *
 * @returns undefined where it cannot be known
 */
export function grantedBacklog(fd: number, asked: number): number | undefined {
  if (describeSocket(fd)?.domain === 'unix') {
    const cap = sysctl('net.core.somaxconn');
    return cap === undefined ? undefined : Math.min(asked, Number(cap));
  }
  return tcpInfo(fd).readUInt32LE(SACKED_OFFSET);
}

/** Connections in a TCP listener's accept queue, and how many it may have at most. */
export function acceptQueue(fd: number): { waiting: number; limit: number } {
  const info = tcpInfo(fd);
  return { waiting: info.readUInt32LE(UNACKED_OFFSET), limit: info.readUInt32LE(SACKED_OFFSET) };
}

function tcpInfo(fd: number): Buffer {
  const info = Buffer.alloc(TCP_INFO_BYTES);
  call('getsockopt', [fd, IPPROTO_TCP, TCP_INFO, info, Uint32Array.of(info.length)], `${fd}, TCP_INFO`);
  return info;
}
