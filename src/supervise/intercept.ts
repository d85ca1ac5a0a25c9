import { formatAddress, type SocketAddress } from '../address.ts';
import { codeOf, errnoOf } from '../kernel/errno.ts';
import { close, duplicate } from '../kernel/fd.ts';
import { POLLIN, type Poller } from '../kernel/poll.ts';
import { socketInode } from '../kernel/proc-fd.ts';
import { threadGroup } from '../kernel/procfs.ts';
import { isWaiting, type Notification, receive, respondContinue, respondResult } from '../kernel/seccomp.ts';
import { getOption, listen, localAddress } from '../kernel/socket.ts';
import { isDebugger, isNamedAfter, isPrivate } from './bystander.ts';
import { type CallerSocket, descriptorOf, duplicateSocket, type WantedAddress, wantedAddress } from './caller.ts';
import { type GiveBackHost, giveBack } from './give-back.ts';
import { type HeldListener, type Holder, type HoldOptions, keepPath } from './holder.ts';
import { type KeptListener, Looks } from './looks.ts';
import { bothFamiliesPort, isOneFamilyOf, type ListenerIdentity, listenerKey, slotFor } from './match.ts';
import { isStillAt } from './unix-path.ts';

/** A bind(2) of a TCP socket that a process asks for. */
export interface WantedBind extends ListenerIdentity {
  pid: number;
  /** Held listeners that the generation has. */
  given: ReadonlySet<HeldListener>;
}

/**
 * What became of a bind(2) that was asked for: `beside` where a held listener has an address that overlaps it; undefined where
 * the program must do it itself, because its rights are not ours.
 */
export type BindOutcome = 'bound' | 'beside' | undefined;

/** What a generation's interception asks of, and tells, whoever supervises it. */
export interface InterceptionHost extends GiveBackHost {
  holder: Holder;
  poller: Poller;
  /**
   * Binds the program's socket through our duplicate: waits out or evicts what blocks it, gets past held listeners that
   * collide. Throws the error whose code the program then gets.
   */
  bind(fd: number, wanted: WantedBind): Promise<BindOutcome>;
  /** The listen(2) of a socket that was bound beside held listeners. @throws KernelError */
  listenBeside(fd: number, backlog: number, identity: ListenerIdentity): void;
  /** What was bound beside held listeners stays, and is held from here on; told after {@link onListen}. */
  onKept(listener: HeldListener): void;
  /** Opens a listener for one family of a port that was named for both. @throws where it cannot be bound */
  openOneFamily(named: HeldListener, wanted: ListenerIdentity): Promise<HeldListener>;
  /** Whether a process of this generation has the listener open. */
  isOpenInGeneration(listener: HeldListener): boolean;
  /** Whether a program may shut a held listener down, for all who have it. */
  mayEnd(listener: HeldListener): boolean;
  /**
   * A held listener is listened on, or one that no later generation can ask for by its name (then undefined): of a port that
   * the kernel chose, or a unix socket of a temporary name.
   *
   * @param pid the process that listens
   * @param isNew it was not held before
   */
  onListen(listener: HeldListener | undefined, pid: number, isNew: boolean): void;
  /** A call is not answered at once: by its id it can be, should we be killed before. */
  onWaiting(id: bigint): void;
  /** The program shuts so many connections down that to be asked about each is dear. */
  onManyShutdowns(): void;
  /** No process of the generation is left. */
  onEmpty(): void;
}

interface BoundAddress extends WantedAddress {
  /** A held listener's address overlaps it. */
  beside?: boolean;
}

/**
 * Answers bind(2), listen(2), and what else concerns a listener, of one generation's processes (seccomp_unotify(2)). Owns the
 * notification descriptor. Every call is answered: when we cannot look, or fail, it happens as if nobody had looked.
 */
export class Interception {
  readonly #notifyFd: number;
  readonly #generation: number;
  readonly #host: InterceptionHost;
  /** Addresses of sockets that were bound and do not listen yet, or perhaps for a look alone, by inode. */
  readonly #bound = new Map<number, BoundAddress>();
  readonly #looks: Looks;
  /** Inodes of sockets that a call of listen(2) was for. */
  readonly #seen = new Set<number>();
  /** Held listeners that this generation got back. */
  readonly #given = new Set<HeldListener>();
  /** Resolves when no process is under the filter any more, and the descriptor is closed. */
  readonly empty: Promise<void>;
  #resolveEmpty: () => void = () => {};
  #closed = false;
  #retired = false;
  #warned = false;
  #shutdowns = 0;

  constructor(notifyFd: number, generation: number, host: InterceptionHost) {
    this.#notifyFd = notifyFd;
    this.#generation = generation;
    this.#host = host;
    this.#looks = new Looks({
      onKept: listener => this.#listening(listener),
      onNotice: text => host.onNotice(text),
    });
    this.empty = new Promise(fulfil => {
      this.#resolveEmpty = fulfil;
    });
    host.poller.add(notifyFd, POLLIN, revents => this.#onReady(revents));
  }

  /** Whether a listener's inode is known: of a socket that a call of listen(2) was for, or that is held. */
  knows(inode: number): boolean {
    return this.#seen.has(inode) || this.#host.holder.byInode(inode) !== undefined;
  }

  /** Resolves when it is known of all that listens beside held listeners whether it stays. */
  known(): Promise<void> {
    return this.#looks.known();
  }

  /**
   * The generation is gone. Who left it in time (the session of somebody who is logged in, where the server is sshd) is
   * under the filter all the same, and its calls would fail with ENOSYS if the descriptor were closed (seccomp_unotify(2)):
   * from here on they happen as if nobody looked.
   */
  retire(): void {
    this.#retired = true;
  }

  #close(): void {
    this.#closed = true;
    this.#host.poller.remove(this.#notifyFd);
    close(this.#notifyFd);
    this.#resolveEmpty();
  }

  #onReady(revents: number): void {
    if ((revents & POLLIN) !== 0) {
      const notification = receive(this.#notifyFd);
      if (notification && this.#retired) respondContinue(this.#notifyFd, notification.id);
      else if (notification) void this.#answer(notification);
      return;
    }
    this.#close(); // POLLHUP: the last process under the filter has ended
    this.#host.onEmpty();
  }

  async #answer(notification: Notification): Promise<void> {
    const { id } = notification;
    const waiting = setImmediate(() => this.#host.onWaiting(id));
    try {
      const errno = await this.#decide(notification);
      if (this.#closed) return;
      if (errno === undefined) respondContinue(this.#notifyFd, id);
      else respondResult(this.#notifyFd, id, errno);
    } catch (error) {
      if (this.#closed || !isWaiting(this.#notifyFd, id)) return;
      this.#warnOnce(notification, error);
      respondContinue(this.#notifyFd, id);
    } finally {
      clearImmediate(waiting);
    }
  }

  #warnOnce({ call, tid }: Notification, error: unknown): void {
    if (this.#warned) return;
    this.#warned = true;
    const why = error instanceof Error ? error.message : String(error);
    this.#host.onNotice(`Cannot follow ${call} of thread ${tid}, it goes on without relisten: ${why}`);
  }

  /** @returns the errno to answer (0 for success), or undefined to let the call happen */
  #decide(notification: Notification): Promise<number | undefined> | number | undefined {
    switch (notification.call) {
      case 'bind':
        return this.#bind(notification);
      case 'listen':
        return this.#listen(notification);
      case 'getsockopt':
        return this.#tellThatItListens(notification);
      case 'shutdown':
        return this.#shutdown(notification);
    }
  }

  async #bind(notification: Notification): Promise<number | undefined> {
    const wanted = wantedAddress(notification);
    if (!wanted) return undefined;
    const socket = duplicateSocket(notification);
    if (!socket) return undefined;
    try {
      if (socket.domain !== wanted.address.family || !isWaiting(this.#notifyFd, notification.id)) return undefined;
      // A signal interrupted the call after we had answered it, and the program asks again.
      if (this.#host.holder.byInode(socket.inode)) return 0;
      const identity = { ...wanted, v6only: socket.v6only };
      const held = this.#heldFor(identity) ?? (await this.#oneFamilyFor(identity));
      if (held) {
        giveBack(held, socket, { ...notification, notifyFd: this.#notifyFd }, this.#host);
        this.#given.add(held);
        return 0;
      }
      return wanted.address.family === 'unix' ? this.#bindUnix(socket, wanted) : await this.#bindInet(socket, wanted);
    } finally {
      close(socket.fd);
    }
  }

  #heldFor(identity: ListenerIdentity): HeldListener | undefined {
    const { holder } = this.#host;
    const group = holder.group(listenerKey(identity));
    const slots = group.map(listener => ({
      taken: this.#given.has(listener) && this.#host.isOpenInGeneration(listener),
    }));
    const index = slotFor(slots);
    return index === undefined ? undefined : group[index];
  }

  /** What the user named before anybody knew what the program binds: anything else is as a program made it. */
  async #oneFamilyFor(identity: ListenerIdentity): Promise<HeldListener | undefined> {
    const { holder, openOneFamily, onNotice } = this.#host;
    if (holder.group(listenerKey(identity)).length > 0) return undefined;
    const named = holder.listeners.find(
      ({ anyFamilyPort }) => anyFamilyPort !== undefined && isOneFamilyOf(anyFamilyPort, identity),
    );
    if (!named) return undefined;
    const giveWay = bothFamiliesPort(named) !== undefined;
    // Who has it may be accepting from it.
    if (giveWay && (this.#given.has(named) || [...named.generations].some(number => number !== this.#generation)))
      return undefined;
    const opened = await openOneFamily(named, identity);
    if (giveWay) onNotice(describeGivingWay(identity, named));
    return opened;
  }

  async #bindInet(socket: CallerSocket, wanted: WantedAddress): Promise<number | undefined> {
    const { v6only, pid } = socket;
    if (isBoundTo(socket.fd, wanted.address)) return 0; // interrupted by a signal, as above
    try {
      const outcome = await this.#host.bind(socket.fd, { ...wanted, v6only, pid, given: this.#given });
      this.#remember(socket.inode, { ...wanted, beside: outcome === 'beside' });
      return outcome === undefined ? undefined : 0;
    } catch (error) {
      if (codeOf(error) === 'ABORT_ERR') return undefined; // it outlives its generation
      return errnoOf(codeOf(error) ?? 'EIO');
    }
  }

  #remember(inode: number, wanted: BoundAddress): void {
    this.#bound.set(inode, wanted);
    // A program that binds its outgoing connections never listens on them.
    const oldest = this.#bound.keys().next().value;
    if (this.#bound.size > MAX_BOUND && oldest !== undefined) this.#bound.delete(oldest);
  }

  /** The kernel itself must do it: the path means what it means in the program's root, directory and umask. */
  #bindUnix(socket: CallerSocket, wanted: WantedAddress): undefined {
    this.#remember(socket.inode, wanted);
    return undefined;
  }

  async #listen(notification: Notification): Promise<number | undefined> {
    const socket = duplicateSocket(notification);
    if (!socket) return undefined;
    try {
      if (!isWaiting(this.#notifyFd, notification.id)) return undefined;
      this.#see(socket.inode);
      if (socket.domain === 'unix') return this.#listenUnix(socket);
      const backlog = Number(BigInt.asIntN(32, notification.args[1]));
      const bound = this.#bound.get(socket.inode);
      try {
        if (bound?.beside) this.#host.listenBeside(socket.fd, backlog, { ...bound, v6only: socket.v6only });
        else listen(socket.fd, backlog);
      } catch (error) {
        return errnoOf(codeOf(error) ?? 'EIO');
      }
      if (bound?.beside) this.#looks.add(socket.inode);
      else this.#listening(socket);
      return 0;
    } finally {
      close(socket.fd);
    }
  }

  #see(inode: number): void {
    this.#seen.add(inode);
    // A program that opens a listener for each of its clients has closed the first by then.
    const [oldest] = this.#seen;
    if (this.#seen.size > MAX_BOUND && oldest !== undefined) this.#seen.delete(oldest);
  }

  /**
   * The kernel itself must do it: clients see the caller of listen(2) in SO_PEERCRED (unix(7)). So we look again once
   * the call has had the time to happen.
   */
  #listenUnix(socket: CallerSocket): undefined {
    const fd = duplicate(socket.fd);
    const look = (attempt: number) => {
      if (getOption(fd, 'SO_ACCEPTCONN') === 1) this.#listening({ ...socket, fd });
      else if (attempt < UNIX_LISTEN_LOOKS) {
        setTimeout(look, attempt, attempt + 1);
        return;
      }
      close(fd);
    };
    setImmediate(look, 1);
    return undefined;
  }

  /** Who asks, and sees that its socket listens, has no reason to call listen(2). */
  #tellThatItListens(notification: Notification): undefined {
    const held = this.#heldAt(notification);
    if (!held || !this.#given.has(held)) return undefined;
    const { tid } = notification;
    this.#heldListens(held, { pid: threadGroup(tid) ?? tid, targetFd: descriptorOf(notification) });
    return undefined;
  }

  /** It would end the socket for the generation that comes as well, where close(2) lets go of one's own. */
  #shutdown(notification: Notification): number | undefined {
    const held = this.#heldAt(notification);
    if (held) return this.#host.mayEnd(held) ? undefined : 0;
    if (++this.#shutdowns === MANY_SHUTDOWNS) this.#host.onManyShutdowns();
    return undefined;
  }

  /** The held listener that a call is about: cheap, for most are about a connection. */
  #heldAt(notification: Notification): HeldListener | undefined {
    const inode = socketInode(notification.tid, descriptorOf(notification));
    return inode === undefined ? undefined : this.#host.holder.byInode(inode);
  }

  /** Keeps a duplicate of a new listener, and tells which one is listened on; not of what no client can know. */
  #listening(socket: KeptListener): void {
    if (this.#retired) return;
    const { holder, onKept } = this.#host;
    const wanted = this.#bound.get(socket.inode);
    this.#bound.delete(socket.inode);
    if (wanted && isPrivate(wanted.address, socket.pid)) return;
    let listener = holder.byInode(socket.inode);
    const isNew = listener === undefined;
    if (!listener && wanted && hasItsName(socket, wanted.address)) {
      const facts = { ...wanted, debugger: isDebugger(wanted.address, socket.pid) };
      listener = this.#hold(socket, facts);
    }
    if (!listener) {
      this.#host.onListen(undefined, socket.pid, true);
      return;
    }
    this.#heldListens(listener, socket, isNew);
    if (wanted?.beside) onKept(listener);
  }

  #heldListens(listener: HeldListener, { pid, targetFd }: Pick<CallerSocket, 'pid' | 'targetFd'>, isNew = false): void {
    this.#given.add(listener);
    listener.generations.add(this.#generation);
    listener.descriptors.add(targetFd);
    this.#host.onListen(listener, pid, isNew);
  }

  /** @returns undefined where its path means it no more: nobody would find it there, nor bind it again */
  #hold({ fd, inode }: KeptListener, facts: HoldOptions & WantedAddress): HeldListener | undefined {
    const { holder } = this.#host;
    const listener = holder.hold(duplicate(fd), facts);
    try {
      keepPath(listener);
    } catch (error) {
      if (facts.address.family === 'unix' && !isStillAt(facts.address.path, inode)) {
        holder.release(listener);
        return undefined;
      }
      const why = error instanceof Error ? error.message : String(error);
      const shown = formatAddress(listener.address);
      this.#host.onNotice(`Cannot keep a hard link to ${shown}, clients may miss it during a restart: ${why}`);
    }
    return listener;
  }
}

/** -p cannot name `::` of IPv6 alone. */
function describeGivingWay({ address, v6only }: ListenerIdentity, named: HeldListener): string {
  const shown = formatAddress(address);
  const wanted = v6only ? `${shown} for IPv6 alone` : shown;
  const otherwise = v6only ? '' : ` (not with -p ${shown})`;
  return `The command binds ${wanted}, for which ${formatAddress(named.address)} of -p gives way: who waited there is reset${otherwise}`;
}

/** Whether the next generation can mean a listener by the address that it was bound to. */
function hasItsName({ fd, pid }: KeptListener, address: SocketAddress): boolean {
  return address.family === 'unix' ? !isNamedAfter(address, pid) : isBoundTo(fd, address);
}

/** Whether a socket has that address already; the kernel gives inode numbers out again. */
function isBoundTo(fd: number, address: SocketAddress): boolean {
  const local = localAddress(fd);
  return local !== undefined && formatAddress(local) === formatAddress(address);
}

/** At 0.05 ms each, a twentieth of a second. */
const MANY_SHUTDOWNS = 1_000;

/** Far more than any program binds before it listens. */
const MAX_BOUND = 1024;

/** 1 + 2 + … ms: together about a second, after which a listen(2) that we let happen has failed. */
const UNIX_LISTEN_LOOKS = 45;
