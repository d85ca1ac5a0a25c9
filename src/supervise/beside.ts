import { fchownSync } from 'node:fs';
import type { SocketAddress } from '../address.ts';
import { deafen, hear } from '../kernel/deaf.ts';
import { failureOf } from '../kernel/errno.ts';
import { bind, getOption, listen, setOption } from '../kernel/socket.ts';
import { fileOf } from '../kernel/stat.ts';

/**
 * Binds a socket that has SO_REUSEADDR although others have addresses that overlap its own, none of them the very same. A
 * client gets to the listener whose address is the narrowest.
 *
 * @param others descriptors of those sockets
 * @throws KernelError EADDRINUSE where somebody else is in the way as well
 */
export function bindBeside(fd: number, address: SocketAddress, others: readonly number[]): void {
  share(fd, others, () => bind(fd, address));
}

/**
 * Has it listen, but hear nobody until `hear` of kernel/deaf.ts: a program that only looks whether its port is free would take
 * with it whom it has kept from the others.
 *
 * @throws KernelError EADDRINUSE where somebody was faster
 */
export function listenBeside(fd: number, backlog: number, others: readonly number[]): void {
  failureOf(() => deafen(fd));
  try {
    share(fd, others, () => listen(fd, backlog));
  } catch (error) {
    failureOf(() => hear(fd));
    throw error;
  }
}

/**
 * The kernel lets sockets have addresses that overlap where all have SO_REUSEPORT and one owner, when they are bound and
 * once more when they begin to listen (inet_bind_conflict(), net/ipv4/inet_connection_sock.c); it makes a group of those
 * alone that have the same address (inet_reuseport_add_sock(), net/ipv4/inet_hashtables.c). Afterwards all are as they were:
 * nobody else is let in.
 */
function share(fd: number, others: readonly number[], work: () => void): void {
  const { uid } = fileOf(fd);
  const before = [fd, ...others].map(each => ({
    fd: each,
    uid: fileOf(each).uid,
    reuseport: getOption(each, 'SO_REUSEPORT'),
  }));
  try {
    for (const each of before) {
      if (each.uid !== uid) fchownSync(each.fd, Number(uid), -1);
      setOption(each.fd, 'SO_REUSEPORT', 1);
    }
    work();
  } finally {
    for (const each of before) {
      setOption(each.fd, 'SO_REUSEPORT', each.reuseport);
      if (each.uid !== uid) fchownSync(each.fd, Number(each.uid), -1);
    }
  }
}
