import type { Server } from 'node:net';
import { close } from '../kernel/fd.ts';
import { inodeOf } from '../kernel/stat.ts';

/**
 * Hands a listener to a Node server, which calls `listen(2)` on it again: the backlog must be given, or Node's 511 takes
 * the place of what the listener had. Node makes the descriptor non-blocking, for every holder of the socket.
 *
 * @param fd the server's from here on; closed if the server does not take it
 */
export function giveToServer(server: Server, fd: number, backlog: number): Promise<void> {
  const inode = inodeOf(fd);
  return started(server, () => {
    try {
      server.listen({ fd }, backlog);
    } finally {
      // In the same turn of the event loop: no other descriptor can have got the number. Node closes what it took.
      if (!server.listening && isOpen(fd, inode)) close(fd);
    }
  });
}

/** Resolves when the server listens after `start`, rejects when it fails to. */
export function started(server: Server, start: () => void): Promise<void> {
  return new Promise((fulfil, reject) => {
    const settle = (done: () => void) => {
      server.off('listening', onListening).off('error', onError);
      done();
    };
    const onListening = () => settle(fulfil);
    const onError = (error: unknown) => settle(() => reject(error));
    server.on('listening', onListening).on('error', onError);
    try {
      start();
    } catch (error) {
      onError(error);
    }
  });
}

function isOpen(fd: number, inode: number): boolean {
  try {
    return inodeOf(fd) === inode;
  } catch {
    return false;
  }
}
