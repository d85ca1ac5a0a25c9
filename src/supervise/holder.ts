import type { SocketAddress } from '../address.ts';
import { close } from '../kernel/fd.ts';
import type { HangUps } from '../kernel/hang-up.ts';
import { describeSocket, localAddress } from '../kernel/socket.ts';
import { inodeOf } from '../kernel/stat.ts';
import { type ListenerIdentity, listenerKey } from './match.ts';
import { UnixPath } from './unix-path.ts';

/** A listener that relisten keeps open and never accepts from. */
export interface HeldListener extends ListenerIdentity {
  /** Ours, CLOEXEC; closed by {@link Holder.release} alone. */
  readonly fd: number;
  readonly inode: number;
  readonly key: string;
  /** SO_REUSEPORT, which it also gets later: see intercept.ts. */
  reuseport: boolean;
  /** Held because the user named it with -p, or passed it to relisten: never released before the end. */
  readonly pinned: boolean;
  /** The port that the user named for both families with -p, and that this is for; undefined where an address was named. */
  readonly anyFamilyPort?: number;
  /** LISTEN_FDNAMES of a pinned one. */
  readonly name?: string;
  /** No service: see bystander.ts. */
  readonly debugger: boolean;
  /** Numbers of the generations that listen on it. */
  readonly generations: Set<number>;
  /** At which descriptors programs have had it. */
  readonly descriptors: Set<number>;
  /** How long after its start the last of them listened on it, in milliseconds; undefined where nobody has seen it. */
  afterMs?: number;
  /** Keeps the path of a unix socket in the file system. */
  path?: UnixPath;
  /** A program does not start while somebody answers there: see first-look.ts. */
  lookedAt?: boolean;
  /** It was passed to relisten (sd_listen_fds(3)): who did that has it still, and its path is theirs to remove. */
  inherited?: boolean;
}

/** What the descriptor alone does not tell. */
export interface HoldOptions {
  address?: SocketAddress;
  netns?: string;
  name?: string;
  pinned?: boolean;
  anyFamilyPort?: number;
  debugger?: boolean;
}

/** Every held listener, in the order in which they came. Owns their descriptors. */
export class Holder {
  readonly #held: HeldListener[] = [];
  readonly #hangUps: HangUps | undefined;

  /** @param hangUps watches what is held of TCP; ours to close */
  constructor(hangUps?: HangUps) {
    this.#hangUps = hangUps;
  }

  get listeners(): readonly HeldListener[] {
    return this.#held;
  }

  /**
   * Takes ownership of a listening socket's descriptor.
   *
   * @param address as the program meant it; for unix sockets absolute, where the kernel only knows what was passed
   */
  hold(fd: number, options: HoldOptions = {}): HeldListener {
    const address = options.address ?? localAddress(fd);
    const kind = describeSocket(fd);
    if (!address || !kind) throw new Error(`fd ${fd} is not a socket with an address`);
    const identity = { address, v6only: kind.v6only, netns: options.netns };
    const listener: HeldListener = {
      ...identity,
      fd,
      inode: inodeOf(fd),
      key: listenerKey(identity),
      reuseport: kind.reuseport,
      pinned: options.pinned ?? false,
      anyFamilyPort: options.anyFamilyPort,
      name: options.name,
      debugger: options.debugger ?? false,
      generations: new Set(),
      descriptors: new Set(),
    };
    this.#held.push(listener);
    if (address.family !== 'unix') this.#hangUps?.add(fd);
    return listener;
  }

  /** The listeners of a key, in the order of their SO_REUSEPORT group. */
  group(key: string): HeldListener[] {
    return this.#held.filter(listener => listener.key === key);
  }

  byInode(inode: number): HeldListener | undefined {
    return this.#held.find(listener => listener.inode === inode);
  }

  /** Lets go of a listener: clients are refused from here on, unless a process still has it. */
  release(listener: HeldListener): void {
    const index = this.#held.indexOf(listener);
    if (index === -1) return;
    this.#held.splice(index, 1);
    if (listener.inherited) listener.path?.leave();
    else listener.path?.close();
    if (listener.address.family !== 'unix') this.#hangUps?.remove(listener.fd);
    close(listener.fd);
  }

  releaseAll(): void {
    for (const listener of [...this.#held]) this.release(listener);
    this.#hangUps?.close();
  }

  /** From now on a program may end a listener. */
  unwatch(): void {
    this.#hangUps?.close();
  }

  /** Lets go of our duplicates alone: a server goes on with its own. */
  leaveAll(): void {
    this.#hangUps?.close();
    for (const { path, fd } of this.#held.splice(0)) {
      path?.leave();
      close(fd);
    }
  }
}

/** Keeps the path of a unix listener; one without a path needs nothing. @throws the file system's error */
export function keepPath(listener: HeldListener): void {
  const { address } = listener;
  if (address.family !== 'unix' || address.path.startsWith('\0')) return;
  listener.path ??= new UnixPath(address.path, listener.inode);
}
