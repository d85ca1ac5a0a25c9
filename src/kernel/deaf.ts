import { close } from './fd.ts';
import { getOption, setOption, socket } from './socket.ts';
import { dropNewConnections, takeNewConnections } from './socket-filter.ts';

/*
 * Listeners that no client finds. A socket that is bound to an interface which no system has (SO_BINDTOIFINDEX, Linux 5.0) is
 * passed over when the kernel looks for the listener of a SYN (compute_score(), net/ipv4/inet_hashtables.c): another one of that
 * port gets it, or the client is refused, as if this one was not there. Anybody may bind a socket to an interface, and only
 * CAP_NET_RAW may undo it (sock_bindtoindex_locked(), net/core/sock.c). All is the socket's, not the descriptor's.
 */

/** The highest index of an interface: the kernel counts up from 1 (dev_index_reserve(), net/core/dev.c). */
const NOWHERE = 0x7fff_ffff;

/**
 * For good: from here on nobody comes. Handshakes that have begun are completed, and who waits in the queue stays there.
 *
 * @throws KernelError EPERM where the program has bound it to an interface, and we may not
 */
export function hide(fd: number): void {
  setOption(fd, 'SO_BINDTOIFINDEX', NOWHERE);
}

/**
 * Until {@link hear}. Without CAP_NET_RAW it is a filter instead: a client that would have come to this one is kept from
 * the others, too, and tries again after a second (RFC 6298 section 2).
 *
 * @throws KernelError where the socket takes no filter either (MPTCP)
 */
export function deafen(fd: number): void {
  if (getOption(fd, 'SO_BINDTOIFINDEX') === 0 && mayUndo()) hide(fd);
  else dropNewConnections(fd);
}

/** Undoes {@link deafen}. @throws KernelError where it was not done */
export function hear(fd: number): void {
  if (getOption(fd, 'SO_BINDTOIFINDEX') === NOWHERE) setOption(fd, 'SO_BINDTOIFINDEX', 0);
  else takeNewConnections(fd);
}

let undoes: boolean | undefined;

/** Tried out: the capability counts in the user namespace that owns the network, which need not be ours. */
function mayUndo(): boolean {
  undoes ??= tryOut();
  return undoes;
}

function tryOut(): boolean {
  const fd = socket('IPv4');
  try {
    hide(fd);
    setOption(fd, 'SO_BINDTOIFINDEX', 0);
    return true;
  } catch {
    return false;
  } finally {
    close(fd);
  }
}
