import { Socket } from 'node:net';
import { close, duplicate } from './fd.ts';
import { call } from './libc.ts';
import { connect, socket } from './socket.ts';

/*
 * libuv's pipe handle, which Node does not document: it accepts from any listening unix socket that it is given, so that
 * a SOCK_SEQPACKET listener needs no thread of its own. Tried on Node 20.20, 22.23, 24.21 and 26.10.
 */

interface PipeHandle {
  fd: number;
  onconnection: (status: number, client?: PipeHandle) => void;
  open(fd: number): number | undefined;
  listen(backlog: number): number;
  unref(): void;
  close(): void;
}

type PipeClass = new (type: number) => PipeHandle;

/** PipeConstants.SERVER of pipe_wrap. */
const SERVER = 1;
let pipeClass: PipeClass | undefined;

/** The class of every unix socket's handle; no other way leads to it. */
function findPipeClass(): PipeClass {
  if (pipeClass) return pipeClass;
  const pair = new Int32Array(2);
  call('pipe2', [pair, 0o2000000], 'O_CLOEXEC');
  const carrier = new Socket({ fd: pair[0] ?? -1, readable: false, writable: false });
  const handle: object = Reflect.get(carrier, '_handle');
  carrier.destroy();
  close(pair[1] ?? -1);
  pipeClass = handle.constructor as PipeClass;
  return pipeClass;
}

/**
 * Accepts from a listening unix socket whenever somebody connects, without keeping the event loop alive.
 *
 * @param listener becomes the handle's, and is closed with it; also where this throws
 * @param onConnection owns the descriptor that it gets, which is CLOEXEC and non-blocking
 * @returns closes the listener
 */
export function acceptFrom(listener: number, onConnection: (fd: number) => void): () => void {
  const handle = new (findPipeClass())(SERVER);
  if ((handle.open(listener) ?? 0) !== 0) {
    close(listener);
    throw new Error(`fd ${listener} cannot be watched`);
  }
  handle.onconnection = (status, client) => {
    if (status !== 0 || !client) return;
    const fd = duplicate(client.fd);
    client.close();
    onConnection(fd);
  };
  const status = handle.listen(128);
  if (status !== 0) {
    handle.close();
    throw new Error(`fd ${listener} cannot listen`);
  }
  handle.unref();
  return () => handle.close();
}

/**
 * Connects to an abstract unix socket, which `net.connect` does since Node 22 only (uv_pipe_connect2, libuv 1.46).
 *
 * @param path begins with a NUL byte
 * @returns connected, and the caller's
 * @throws KernelError ECONNREFUSED where nobody listens, EAGAIN where the backlog is full
 */
export function connectAbstract(path: string): Socket {
  const fd = socket('unix', { nonblocking: true });
  try {
    connect(fd, { family: 'unix', path });
    return new Socket({ fd, readable: true, writable: true });
  } catch (error) {
    close(fd);
    throw error;
  }
}
