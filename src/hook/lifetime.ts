import type { Server } from 'node:net';
import { drain, loadCourse } from '../drain/drain.ts';
import type { DrainOptions } from '../drain/options.ts';
import type { Draining } from '../drain/report.ts';
import { settleShapes } from '../drain/shapes.ts';
import { SlowHandoff } from '../drain/slow-handoff.ts';
import { rememberAddress } from '../handoff/describe.ts';
import { type Giver, openGiver } from '../handoff/give.ts';
import { type Ready, successorOf, watchDirectory } from '../handoff/rendezvous.ts';
import { countRequests } from '../handoff/requests.ts';
import { openTaker, type Taker } from '../handoff/take.ts';
import { warnOnce } from '../handoff/warn.ts';
import { hasLibc } from '../kernel/libc.ts';
import type { Surroundings } from './surroundings.ts';

/**
 * How long to wait for a process of the ready generation to receive, in milliseconds. It loads what it needs for that when
 * it listens already; meanwhile everything is served as before.
 */
const RECEIVER_WAIT_MS = 2_000;

/** Loads what will be needed later as well, as a deployment may replace relisten's files meanwhile. */
export async function openLifetime(around: Surroundings | undefined): Promise<Lifetime> {
  await loadCourse();
  await new Promise(resolve => setImmediate(resolve));
  hasLibc();
  await new Promise(resolve => setImmediate(resolve));
  return new Lifetime(around);
}

/**
 * The servers of a thread from their first listen to the end of their drain: they receive what the older generation
 * hands off, and hand off to the next what is idle when they are stopped.
 */
export class Lifetime {
  readonly #around: Surroundings | undefined;
  readonly #servers = new Set<Server>();
  #taker: Taker | undefined;
  /** Ends the watch for a successor, where there is a slow start. */
  #unwatch: (() => void) | undefined;
  /** For which generation connections are handed off, or were to be, while this one goes on serving. */
  #successor = 0;
  /** Ends that. */
  #endSlowHandoff: (() => Promise<void>) | undefined;
  #stopping = false;

  /** @param around undefined where nobody is to hand anything to, or to receive from */
  constructor(around: Surroundings | undefined) {
    this.#around = around;
  }

  get servers(): ReadonlySet<Server> {
    return this.#servers;
  }

  /** From now on the server receives, and takes part in the drain. */
  add(server: Server): void {
    if (this.#servers.has(server)) return;
    this.#servers.add(server);
    server.once('close', () => {
      this.#servers.delete(server);
      if (this.#servers.size === 0) this.close();
    });
    // Later it may have no address any more.
    rememberAddress(server);
    countRequests(server);
    settleShapes(server);
    if (!this.#around || this.#stopping) return;
    try {
      this.#taker ??= openTaker(this.#around.directory, this.#around.generation);
      this.#taker.add(server);
    } catch (error) {
      warnOnce(`Connections of the older generation are closed instead of received: ${explain(error)}`);
    }
    this.#watchForSuccessor(this.#around);
  }

  #watchForSuccessor(around: Surroundings): void {
    if (around.slowStartMs === 0 || this.#unwatch) return;
    this.#unwatch = watchDirectory(around.directory, () => this.#lookForSuccessor(around));
    this.#lookForSuccessor(around);
  }

  #lookForSuccessor(around: Surroundings): void {
    const ready = successorOf(around);
    if (!ready || ready.generation <= this.#successor || this.#stopping) return;
    this.#successor = ready.generation;
    const ended = this.#endSlowHandoff?.();
    const running = this.#handOffSlowly(ready, around.slowStartMs, ended);
    let ending: Promise<void> | undefined;
    this.#endSlowHandoff = () => {
      ending ??= running.then(end => end?.());
      return ending;
    };
  }

  /** @returns what ends it; undefined where nobody receives */
  async #handOffSlowly(ready: Ready, ms: number, before?: Promise<void>): Promise<(() => Promise<void>) | undefined> {
    await before;
    const giver = await this.#openGiver(ready);
    if (!giver) return undefined;
    const handOff = new SlowHandoff(this.#servers, (socket, about) => giver.handOff(socket, about), ms);
    return async () => {
      await handOff.stop();
      await giver.close();
    };
  }

  /** Drains all servers, or these, and hands off what is idle if another generation is ready, unless it cannot be for that. */
  stop(options: DrainOptions, servers: Iterable<Server> = this.#servers, mayHandOff = true): Draining {
    this.#stopping = true;
    const ready = mayHandOff && this.#around ? successorOf(this.#around) : undefined;
    const opening = ready && this.#openGiver(ready);
    let giver: Giver | undefined;
    const slowHandoffEnded = this.#endSlowHandoff?.();
    const handingOff: DrainOptions = {
      ...(slowHandoffEnded && {
        onNotReady: async () => {
          // Two must not offer the same.
          await slowHandoffEnded;
          await options.onNotReady?.();
        },
      }),
      onStoppedAccepting: async () => {
        giver = await opening;
        await options.onStoppedAccepting?.();
      },
      handOff: (socket, about) => giver?.handOff(socket, about) ?? false,
    };
    const draining = drain([...servers], { ...options, ...(opening && handingOff) });
    const closed = draining.finally(async () => (await opening)?.close());
    return Object.assign(closed, { events: draining.events });
  }

  /** Receives no more, and hands off no more. */
  async close(): Promise<void> {
    this.#unwatch?.();
    this.#unwatch = undefined;
    const slowHandoffEnded = this.#endSlowHandoff?.();
    this.#endSlowHandoff = undefined;
    const taker = this.#taker;
    this.#taker = undefined;
    await taker?.close();
    await slowHandoffEnded;
  }

  async #openGiver(ready: Ready): Promise<Giver | undefined> {
    try {
      return this.#around && (await openGiver(this.#around.directory, ready, { waitMs: RECEIVER_WAIT_MS }));
    } catch (error) {
      warnOnce(`Idle connections are drained instead of handed off: ${explain(error)}`);
      return undefined;
    }
  }
}

function explain(error: unknown): string {
  const { permission } = process as { permission?: { has(scope: string): boolean } };
  const allowed = permission === undefined || permission.has('addon');
  return allowed
    ? String(error)
    : `Node's permission model forbids native addons here (--allow-addons): ${String(error)}`;
}
