import { AF_INET6 } from './constants.ts';
import { close } from './fd.ts';
import { getOption, type SocketOption, setOption, socket } from './socket.ts';

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

/** Systems send with a TTL of 64 or 128; those few that send with 255 are heard across one hop. */
const FEW_TTL = 254;

/**
 * Until {@link hear}. Without CAP_NET_RAW it drops what has a lower TTL than almost everything has instead (IP_MINTTL, ip(7);
 * IPV6_MINHOPCOUNT, Linux 2.6.35): a client that would have come to this one is kept from the others, too, and tries again
 * after a second (RFC 6298 section 2). Who is accepted inherits that, so it is for a listener that has no clients. A filter would
 * do the same (SO_ATTACH_FILTER, socket(7)), but Linux 6.18 refuses it without CAP_NET_ADMIN.
 *
 * @throws KernelError EPERM where the program has bound it to an interface, and what the socket takes neither of (MPTCP)
 */
export function deafen(fd: number): void {
  if (getOption(fd, 'SO_BINDTOIFINDEX') === 0 && mayUndo()) hide(fd);
  else limit(fd, 0, FEW_TTL);
}

/** Undoes {@link deafen}; nothing where that was not done. */
export function hear(fd: number): void {
  if (getOption(fd, 'SO_BINDTOIFINDEX') === NOWHERE) setOption(fd, 'SO_BINDTOIFINDEX', 0);
  else limit(fd, FEW_TTL, 0);
}

/** Of both families, as IPv6 listeners may take IPv4. A limit of the program's own stays. */
function limit(fd: number, from: number, to: number): void {
  const isV6 = getOption(fd, 'SO_DOMAIN') === AF_INET6;
  const limits: SocketOption[] = isV6 ? ['IP_MINTTL', 'IPV6_MINHOPCOUNT'] : ['IP_MINTTL'];
  for (const option of limits) if (getOption(fd, option) === from) setOption(fd, option, to);
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
