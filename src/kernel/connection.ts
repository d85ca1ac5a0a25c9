import { RelistenError } from '../errors.ts';
import { SO_TYPE, SOCK_STREAM, SOL_SOCKET } from './constants.ts';
import { call } from './libc.ts';
import { SOCKADDR_BYTES } from './sockaddr.ts';

// Calls are synchronous, so one set of buffers serves thousands of descriptors that come at once.
const name = Buffer.alloc(SOCKADDR_BYTES);
const length = new Uint32Array(1);
const value = new Int32Array(1);

/**
 * The local address of a connected stream socket, as the kernel writes it (struct sockaddr): a string of one byte a
 * character, for {@link decodeSockaddr}.
 *
 * @throws KernelError ENOTSOCK, or ENOTCONN for a listener and for a connection that is over; RelistenError
 *   ERR_NOT_A_STREAM for other sockets
 */
export function connectionName(fd: number): string {
  const shown = String(fd);
  length[0] = 4;
  call('getsockopt', [fd, SOL_SOCKET, SO_TYPE, value, length], shown);
  if (value[0] !== SOCK_STREAM) {
    throw new RelistenError(`fd ${fd} is not a stream socket`, { code: 'ERR_NOT_A_STREAM', op: 'getsockopt' });
  }
  length[0] = SOCKADDR_BYTES;
  call('getpeername', [fd, name, length], shown);
  length[0] = SOCKADDR_BYTES;
  call('getsockname', [fd, name, length], shown);
  return name.toString('latin1', 0, length[0]);
}
