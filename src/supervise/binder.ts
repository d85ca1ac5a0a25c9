import { readFileSync, statSync } from 'node:fs';
import { formatAddress, type SocketAddress } from '../address.ts';
import { overlaps } from '../bind/overlap.ts';
import { RelistenError } from '../errors.ts';
import { codeOf, failureOf } from '../kernel/errno.ts';
import { close, duplicate } from '../kernel/fd.ts';
import { ownersOf } from '../kernel/proc-fd.ts';
import { bind, getOption, setOption, shutdown } from '../kernel/socket.ts';
import { bindBeside, listenBeside } from './beside.ts';
import { nameSupervisor } from './blocker.ts';
import { answerTo, type Collision, isAbandoned } from './collision.ts';
import type { EventFacts } from './events.ts';
import type { HeldListener, Holder } from './holder.ts';
import type { BindOutcome, WantedBind } from './intercept.ts';
import { collide, type ListenerIdentity } from './match.ts';
import type { Running } from './running.ts';

/** Loaded when something is in the way. */
const explain = async (address: string) => (await import('../inspect/inspect.ts')).inspect(address);

export interface BinderHost {
  holder: Holder;
  evict: boolean;
  emit(facts: EventFacts): void;
  /** Whether a generation that was ready before this one listened on it. */
  hasServed(listener: HeldListener, before: Running): boolean;
  /** Ends the ready generation and releases these, which block what a starting one binds. */
  makeWayFor(running: Running, listeners: HeldListener[]): Promise<void>;
}

/**
 * Binds sockets of supervised programs from outside: with SO_REUSEADDR, and waiting for, or evicting, what blocks only
 * by the kernel's timer.
 */
export class Binder {
  readonly #host: BinderHost;

  constructor(host: BinderHost) {
    this.#host = host;
  }

  /** For a listener of relisten's own; see -p. */
  async bindOwn(fd: number, address: SocketAddress): Promise<void> {
    await this.#bind(fd, address, 0);
  }

  /** The bind(2) that a program waits for. Throws the error whose code it then gets, after telling the user why. */
  async bindFor(running: Running, fd: number, wanted: WantedBind): Promise<BindOutcome> {
    if (mustLetBe(wanted)) {
      setOption(fd, 'SO_REUSEADDR', 1);
      return undefined;
    }
    const outcome = await this.#bindAmong(running, fd, wanted);
    if (outcome) return outcome;
    try {
      await this.#bind(fd, wanted.address, running.number, running.over.signal);
    } catch (error) {
      throw this.#explain(running, wanted, error);
    }
    return 'bound';
  }

  /** The listen(2) of what was bound beside held listeners. @throws KernelError */
  listenBeside(fd: number, backlog: number, identity: ListenerIdentity): void {
    const others = this.#host.holder.listeners.filter(held => collide(held, identity));
    const fds = others.map(other => other.fd);
    listenBeside(fd, backlog, fds);
  }

  /** Gets held listeners out of the way. @returns undefined where it is still to be bound, if it can be */
  async #bindAmong(running: Running, fd: number, wanted: WantedBind): Promise<BindOutcome> {
    const inTheWay = this.#inTheWay(running, wanted);
    if (inTheWay.length === 0) return undefined;
    setOption(fd, 'SO_REUSEADDR', 1);
    if (mayJoin(fd, inTheWay) && failureOf(() => bind(fd, wanted.address)) === undefined) return 'bound';
    if (await isTakenBySomebody(fd, wanted, inTheWay)) return undefined;
    const left = this.#collisions(running, wanted, inTheWay).filter(collision => !this.#isLetGo(collision));
    const listeners = left.map(({ held }) => held);
    const fds = listeners.map(held => held.fd);
    const answer = answerTo(running.state, left);
    if (answer === 'beside' && failureOf(() => bindBeside(fd, wanted.address, fds)) === undefined) return 'beside';
    // Connections may be in the way, too, that were accepted without SO_REUSEADDR: of a server that was taken.
    const mustMakeWay = answer === 'stop-first' || (answer === 'beside' && running.state === 'starting');
    if (mustMakeWay) await this.#makeWayFor(running, listeners);
    return undefined;
  }

  #isLetGo(collision: HeldCollision): boolean {
    if (!isAbandoned(collision)) return false;
    this.#host.holder.release(collision.held);
    return true;
  }

  /** @param generation 0 for a listener of relisten's own */
  async #bind(fd: number, address: SocketAddress, generation: number, signal?: AbortSignal): Promise<void> {
    const { evict, emit } = this.#host;
    const { bindFd } = await bindEngine();
    const bound = bindFd(fd, address, {
      evict,
      signal,
      explain,
      onWait: ({ address: waitedFor, message, until }) =>
        emit({ type: 'waiting', generation, address: waitedFor, reason: message, until }),
    });
    await bound.catch(error => {
      throw nameSupervisor(formatAddress(address), error);
    });
  }

  /** Passed listeners are open in the starting generation, too: they are closed for all who have them. */
  async #makeWayFor(running: Running, listeners: HeldListener[]): Promise<void> {
    const passed = listeners.filter(({ pinned }) => pinned).map(({ fd }) => duplicate(fd));
    try {
      await this.#host.makeWayFor(running, listeners);
      for (const fd of passed) shutdown(fd, 'both');
    } finally {
      for (const fd of passed) close(fd);
    }
  }

  #inTheWay(running: Running, wanted: WantedBind): HeldListener[] {
    // Which address a port means that was named without one is what the program says, and says anew.
    const mayGiveWay = ({ pinned, anyFamilyPort, generations }: HeldListener) =>
      !pinned || (anyFamilyPort !== undefined && [...generations].some(number => number !== running.number));
    return this.#host.holder.listeners.filter(
      held => overlaps(held, wanted) && held.netns === wanted.netns && mayGiveWay(held),
    );
  }

  #collisions(running: Running, { given }: WantedBind, inTheWay: readonly HeldListener[]): HeldCollision[] {
    const owners = ownersOf(new Set(inTheWay.map(({ inode }) => inode)), () => false);
    const family = new Set(running.family().map(ids => ids.pid));
    return inTheWay.map(held => {
      const pids = (owners.get(held.inode) ?? []).filter(pid => pid !== process.pid);
      return {
        held,
        pinned: held.pinned,
        given: given.has(held),
        openHere: pids.some(pid => family.has(pid)),
        openElsewhere: pids.some(pid => !family.has(pid)),
        served: this.#host.hasServed(held, running),
      };
    });
  }

  #explain(running: Running, wanted: WantedBind, error: unknown): unknown {
    if (codeOf(error) === 'ABORT_ERR') return error; // nobody waits for it any more
    const address = formatAddress(wanted.address);
    const own = this.#host.holder.listeners.find(held => held.pinned && overlaps(held, wanted));
    const { reason, advice } =
      own !== undefined && codeOf(error) === 'EADDRINUSE' ? explainHeld(address, own) : explainOther(error);
    running.blocked = reason;
    this.#host.emit({ type: 'blocked', generation: running.number, address, reason, advice });
    return error;
  }
}

interface Explanation {
  reason: string;
  advice: string[];
}

/** Of the same address there is nothing better to name: a process has it, and another binds it a second time. */
function explainHeld(address: string, own: HeldListener): Explanation {
  const held = formatAddress(own.address);
  const [holds, option] = own.inherited ? ['LISTEN_FDS passes', 'ListenStream='] : ['-p holds', '-p '];
  return held === address
    ? { reason: `Cannot bind ${address}: the program has it open already, as ${holds} it`, advice: [] }
    : {
        reason: `Cannot bind ${address}: ${holds} ${held}, which covers it`,
        advice: [`Name the address that the program binds: ${option}${address}`],
      };
}

function explainOther(error: unknown): Explanation {
  const advice = error instanceof RelistenError ? [...(error.advice ?? [])] : [];
  return { reason: error instanceof Error ? error.message : String(error), advice };
}

type HeldCollision = Collision & { held: HeldListener };

/**
 * Whether the kernel means it when it lets a socket be bound: one with SO_REUSEPORT that somebody of the same owner and address
 * was bound with before, it refuses only when it listens (sk_reuseport_match(), net/ipv4/inet_connection_sock.c).
 */
function mayJoin(fd: number, inTheWay: readonly HeldListener[]): boolean {
  return getOption(fd, 'SO_REUSEPORT') === 0 || inTheWay.every(({ reuseport }) => reuseport);
}

/** Whether somebody listens there beside those held ones: nothing that they could do would help. */
async function isTakenBySomebody(
  fd: number,
  { address }: WantedBind,
  inTheWay: readonly HeldListener[],
): Promise<boolean> {
  if (address.family === 'unix') return false;
  const { lookAround } = await import('../bind/look.ts');
  const { listening, sockets } = lookAround(fd, address);
  return listening && sockets.some(({ inode }) => inTheWay.every(held => held.inode !== inode));
}

/** Loaded when the first program binds, not before it is spawned. */
const bindEngine = () => import('../bind/bind-fd.ts');

/**
 * Whose bind(2) we must not do: we could bind a privileged port for a program that may not (ip(7),
 * ip_unprivileged_port_start), and we do not see what blocks an address in another network.
 */
function mustLetBe({ address, pid, netns }: WantedBind): boolean {
  if (address.family === 'unix' || netns !== undefined) return true;
  if (process.geteuid?.() !== 0 || statSync(`/proc/${pid}`).uid === 0) return false;
  return address.port < Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
}
