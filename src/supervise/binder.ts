import { readFileSync, statSync } from 'node:fs';
import { formatAddress, type SocketAddress } from '../address.ts';
import { overlaps } from '../bind/overlap.ts';
import { RelistenError } from '../errors.ts';
import { codeOf } from '../kernel/errno.ts';
import { close, duplicate } from '../kernel/fd.ts';
import { ownersOf } from '../kernel/proc-fd.ts';
import { setOption, shutdown } from '../kernel/socket.ts';
import { nameSupervisor } from './blocker.ts';
import type { EventFacts } from './events.ts';
import type { HeldListener, Holder } from './holder.ts';
import type { WantedBind } from './intercept.ts';
import type { Running } from './running.ts';

/** Loaded when something is in the way. */
const explain = async (address: string) => (await import('../inspect/inspect.ts')).inspect(address);

export interface BinderHost {
  holder: Holder;
  evict: boolean;
  emit(facts: EventFacts): void;
  /** Ends the ready generation and releases these, which block what a starting one binds. */
  yieldTo(running: Running, listeners: HeldListener[]): Promise<void>;
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

  /**
   * The bind(2) that a program waits for. Throws the error whose code it then gets, after telling the user why.
   *
   * @returns false where the program must do it itself: its rights are not ours
   */
  async bindFor(running: Running, fd: number, wanted: WantedBind): Promise<boolean> {
    if (mustLetBe(wanted)) {
      setOption(fd, 'SO_REUSEADDR', 1);
      return false;
    }
    try {
      await this.#bind(fd, wanted.address, running.number, running.over.signal);
    } catch (error) {
      const inTheWay = codeOf(error) === 'EADDRINUSE' ? this.#inTheWay(running, wanted) : [];
      const abandoned = inTheWay.filter(held => !held.pinned && isAbandoned(held));
      for (const held of abandoned) this.#host.holder.release(held);
      const colliding = abandoned.length === 0 ? this.#colliding(running, wanted, inTheWay) : [];
      if (abandoned.length + colliding.length === 0) throw this.#explain(running, wanted, error);
      if (colliding.length > 0) await this.#yieldTo(running, colliding);
      await this.#bind(fd, wanted.address, running.number, running.over.signal);
    }
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
  async #yieldTo(running: Running, listeners: HeldListener[]): Promise<void> {
    const passed = listeners.filter(({ pinned }) => pinned).map(({ fd }) => duplicate(fd));
    try {
      await this.#host.yieldTo(running, listeners);
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

  /** Those of them that only an older generation uses, and that a starting one is kept from its address by. */
  #colliding(running: Running, wanted: WantedBind, inTheWay: HeldListener[]): HeldListener[] {
    if (running.state !== 'starting' || inTheWay.some(held => wanted.given.has(held))) return [];
    return inTheWay;
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

/** Whether nobody has it but we: programs listen on a wildcard to see whether a port is free, and close it again (vite). */
function isAbandoned({ inode }: HeldListener): boolean {
  const owners = ownersOf(new Set([inode]), () => false).get(inode) ?? [];
  return owners.every(pid => pid === process.pid);
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
