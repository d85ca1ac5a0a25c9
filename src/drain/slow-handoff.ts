import type { Server, Socket } from 'node:net';
import { setImmediate as nextIteration, setTimeout as pause } from 'node:timers/promises';
import { idleHttp1Sockets, isQuiet } from '../kernel/handle.ts';
import { hasBeenUsed } from '../kernel/socket-notes.ts';
import type { DrainOptions } from './options.ts';

/** How often some are handed off. */
const STEP_MS = 50;

/**
 * Hands idle HTTP/1.1 connections off while their servers go on serving: a few at a time, so that a process that is still
 * cold gets few requests at first, and by the end of the time given all have gone that are ever idle.
 */
export class SlowHandoff {
  readonly #servers: Iterable<Server>;
  readonly #handOff: NonNullable<DrainOptions['handOff']>;
  readonly #endsAt: number;
  /** Who was offered once, and is not again: nobody took it. */
  readonly #asked = new WeakSet<Socket>();
  readonly #offered = new Set<Promise<void>>();
  /** How many are to go, and have not yet; with its fraction. */
  #due = 0;
  #stopped = false;

  /**
   * Begins at once.
   *
   * @param handOff as drain's
   * @param ms for all of them
   */
  constructor(servers: Iterable<Server>, handOff: NonNullable<DrainOptions['handOff']>, ms: number) {
    this.#servers = servers;
    this.#handOff = handOff;
    this.#endsAt = performance.now() + ms;
    void this.#run();
  }

  /** Offers no more. Resolves when it is known of each who has it. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#offered);
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      // In the check phase: what has arrived is parsed, and nothing is read before it is offered.
      await nextIteration();
      if (this.#stopped) return;
      this.#step();
      await pause(STEP_MS, undefined, { ref: false });
    }
  }

  #step(): void {
    const candidates = [...this.#servers].flatMap(server => this.#candidatesOf(server));
    const leftMs = Math.max(this.#endsAt - performance.now(), STEP_MS);
    this.#due = Math.min(this.#due + (candidates.length * STEP_MS) / leftMs, candidates.length);
    for (const { server, socket } of candidates) {
      if (this.#due < 1) return;
      this.#due--;
      const offer = this.#offer(server, socket).finally(() => this.#offered.delete(offer));
      this.#offered.add(offer);
    }
  }

  #candidatesOf(server: Server): { server: Server; socket: Socket }[] {
    const isCandidate = (socket: Socket) => isQuiet(socket) && hasBeenUsed(socket) && !this.#asked.has(socket);
    return [...idleHttp1Sockets(server)].filter(isCandidate).map(socket => ({ server, socket }));
  }

  async #offer(server: Server, socket: Socket): Promise<void> {
    this.#asked.add(socket);
    try {
      if (await this.#handOff(socket, { server, protocol: 'http1' })) socket.destroy();
    } catch {
      // As if nobody had taken it.
    }
  }
}
