import { fchownSync } from 'node:fs';
import { formatAddress } from '../address.ts';
import { type EpollEntry, type SocketUses, usesOfSocket } from '../kernel/epoll.ts';
import { isNonblocking, setNonblocking } from '../kernel/fd.ts';
import { isTargetFdCloexec, type Notification, replaceFd } from '../kernel/seccomp.ts';
import { setOption } from '../kernel/socket.ts';
import { fileOf } from '../kernel/stat.ts';
import type { CallerSocket } from './caller.ts';
import type { HeldListener } from './holder.ts';

export interface GiveBackHost {
  /** Whether another generation has it open in a process of the program that runs in this one's process. */
  isOpenInSameProgram(listener: HeldListener, pid: number): boolean;
  /** Has epoll instances of a thread's process watch the listener. @throws where they cannot be had */
  watchAgain(caller: { tid: number; pid: number }, entries: readonly EpollEntry[], listener: HeldListener): void;
  /** Something that the user should know, a sentence. */
  onNotice(text: string): void;
}

/** The bind(2) that waits, and where it is answered. */
export type WaitingBind = Pick<Notification, 'id' | 'tid'> & { notifyFd: number };

/** Puts a held listener in the place of the program's own socket, wherever the program has that, and as it has set it. */
export function giveBack(held: HeldListener, socket: CallerSocket, bind: WaitingBind, host: GiveBackHost): void {
  const { notifyFd, id, tid } = bind;
  giveBlocking(held, socket, host);
  giveReuseport(held, socket);
  held.path?.claim();
  const { fds, entries } = usesOf(tid, socket);
  for (const fd of fds) {
    const cloexec = fd === socket.targetFd ? socket.cloexec : isTargetFdCloexec(tid, fd);
    replaceFd(notifyFd, id, held.fd, fd, cloexec);
  }
  if (entries.length === 0) return;
  try {
    host.watchAgain({ tid, pid: socket.pid }, entries, held);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    host.onNotice(
      `pid ${socket.pid} may never hear of clients on ${formatAddress(held.address)}: it told epoll of its socket before bind(2), and cannot be told of the held one: ${why}`,
    );
  }
}

/**
 * The program expects its socket to block or not, as it has set it; but the flag belongs to all who have the listener. The
 * same program has always come to set O_NONBLOCK, if only after bind(2) (redis, asyncio): were it to block until then, an
 * older process could wait in accept(2), for a client that a failed start never lets it have.
 */
function giveBlocking(held: HeldListener, socket: CallerSocket, { isOpenInSameProgram }: GiveBackHost): void {
  const nonblocking = isNonblocking(socket.fd);
  if (nonblocking === isNonblocking(held.fd)) return;
  if (nonblocking || !isOpenInSameProgram(held, socket.pid)) setNonblocking(held.fd, nonblocking);
}

/**
 * A listener without SO_REUSEPORT, or of another owner, would keep the program's next sockets from its address (socket(7);
 * sk_reuseport_match() in net/ipv4/inet_connection_sock.c). The first that listens beside it makes it a group, also if it
 * listened before it had the option (reuseport_add_sock() in net/core/sock_reuseport.c).
 */
function giveReuseport(held: HeldListener, socket: CallerSocket): void {
  if (!socket.reuseport || held.reuseport) return;
  fchownSync(held.fd, Number(fileOf(socket.fd).uid), -1);
  setOption(held.fd, 'SO_REUSEPORT', 1);
  held.reuseport = true;
}

/** The descriptor of the call alone, where we may not look for more. */
function usesOf(tid: number, { inode, targetFd }: CallerSocket): SocketUses {
  try {
    const uses = usesOfSocket(tid, inode);
    return uses.fds.includes(targetFd) ? uses : { fds: [targetFd], entries: [] };
  } catch {
    return { fds: [targetFd], entries: [] };
  }
}
