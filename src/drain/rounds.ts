import type { ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Server, Socket } from 'node:net';
import {
  currentResponse,
  http2SessionOn,
  idleHttp1Sockets,
  openStreams,
  rawSocketUnder,
  speaksHttp1,
} from '../kernel/handle.ts';
import { findConnections } from './connections.ts';
import { interceptResponses, promiseClose } from './http1.ts';
import { cut, destroy, leave, leaveBehind, sayGoodbye } from './leave.ts';
import { decide, type Idle, type Leaver, leaverOf, lossOf, needsGoodbye } from './leaver.ts';
import type { DrainSettings } from './options.ts';
import { type CutConnection, type DrainProgress, perProtocol } from './report.ts';
import { type Connection, trackConnections } from './track.ts';
import { spreadOver } from './websocket.ts';

/** Closing is a system call each, and what arrives meanwhile is lost: so few at a time, each time right after a poll. */
const LEAVE_AT_ONCE = 32;
/** Rounds over all connections are at least this far apart, and at most that far: some changes have no event. */
const SHORTEST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 500;
/** How long a last goodbye may take to be written when there is no time left. */
const LAST_WORD_MS = 100;
const NEVER = Number.POSITIVE_INFINITY;

/**
 * Goes round the connections of the servers until none is left. A round looks at each open connection afresh, decides,
 * and acts; it runs right behind the event loop's poll phase, when all that has arrived is parsed. What happens on a
 * connection brings it into the next round, and a timer brings all of them.
 */
export class Rounds {
  readonly tally = {
    handedOff: 0,
    finished: 0,
    closed: { ...perProtocol(), overTls: 0 },
    cut: [] as CutConnection[],
  };
  /** Settles when the last connection is gone. */
  readonly over: Promise<void>;
  readonly #servers: readonly Server[];
  readonly #settings: DrainSettings;
  readonly #endsAt: number;
  readonly #leavers = new Map<Socket, Leaver>();
  readonly #poked = new Set<Leaver>();
  /** Those whose turn to leave has come, when there are many. */
  readonly #queue = new Set<Leaver>();
  readonly #asked = new WeakSet<object>();
  readonly #seen = new WeakSet<ServerResponse>();
  readonly #undo: (() => void)[] = [];
  #settle: () => void = () => undefined;
  #state: 'watching' | 'going' | 'over' = 'watching';
  #holding = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = NEVER;
  #immediate: NodeJS.Immediate | undefined;

  /** @param endsAt the deadline on performance.now()'s clock */
  constructor(servers: readonly Server[], settings: DrainSettings, endsAt: number) {
    this.#servers = servers;
    this.#settings = settings;
    this.#endsAt = endsAt;
    this.over = new Promise(settle => {
      this.#settle = settle;
    });
  }

  /** From now on responses say that they are the last, and no connection goes unseen. */
  watch(): void {
    for (const server of this.#servers) {
      const connections = trackConnections(server);
      this.#listen(server, 'connection', raw => this.#add(connections.get(raw), true));
      this.#listen(server, 'secureConnection', socket => this.#poke(this.#leaverAt(socket)));
      const interest = {
        onResponse: (response: ServerResponse) => this.#onResponse(response),
        onUpgrade: (socket: unknown) => this.#onUpgrade(socket as Socket),
      };
      if (speaksHttp1(server)) this.#undo.push(interceptResponses(server, interest));
    }
    findConnections(this.#servers);
    for (const server of this.#servers)
      for (const connection of trackConnections(server).values()) this.#add(connection);
  }

  /** Begins to say goodbye. */
  begin(): void {
    this.#state = 'going';
    if (this.#leavers.size === 0) this.#end();
    else for (const leaver of this.#leavers.values()) this.#poke(leaver);
  }

  /** The deadline: whatever is in use is cut and told of, the rest is closed. */
  cut(): void {
    const now = performance.now();
    const idle = this.#glance();
    for (const leaver of this.#leavers.values()) {
      const loss = lossOf(leaver, idle(leaver.connection.server), now);
      if (loss) this.tally.cut.push(loss);
      leaver.stage = loss ? 'cut' : 'leaving';
      cut(leaver, this.#settings);
    }
    setTimeout(() => {
      for (const leaver of this.#leavers.values()) destroy(leaver);
    }, LAST_WORD_MS);
  }

  /** What is open now, and how much of it the drain waits for. */
  open(): Pick<DrainProgress, 'open' | 'waitingFor'> {
    const open = perProtocol();
    for (const { protocol } of this.#leavers.values()) open[protocol]++;
    return { open, waitingFor: this.#holding };
  }

  #listen(server: Server, event: string, listener: (socket: Socket) => void): void {
    server.on(event, listener);
    this.#undo.push(() => server.off(event, listener));
  }

  #add(connection: Connection | undefined, isLate = false): void {
    if (!connection || this.#leavers.has(connection.raw)) return;
    const leaver = leaverOf(connection, isLate);
    this.#leavers.set(connection.raw, leaver);
    connection.raw.once('close', () => this.#gone(leaver));
    const response = currentResponse(connection.socket);
    if (response) this.#onResponse(response);
    const session = http2SessionOn(connection.socket);
    const count = (stream: ServerHttp2Stream) => {
      stream.once('close', () => {
        if (stream.rstCode === 0 && stream.writableFinished && leaver.stage !== 'cut') this.tally.finished++;
      });
    };
    for (const stream of session ? openStreams(session) : []) count(stream);
    session?.on('stream', count);
    this.#poke(leaver);
  }

  #leaverAt(socket: Socket): Leaver | undefined {
    return this.#leavers.get(socket) ?? this.#leavers.get(rawSocketUnder(socket) ?? socket);
  }

  #onResponse(response: ServerResponse): void {
    const leaver = this.#leaverAt(response.req.socket);
    if (!leaver || this.#seen.has(response)) return;
    this.#seen.add(response);
    const { socket } = leaver.connection;
    socket.destroySoon = () => leaveBehind(response, leaver, this.#settings);
    promiseClose(response, () => {
      this.#poke(leaver);
      return !this.#isOfferable(leaver);
    });
    response.once('finish', () => this.tally.finished++);
    response.once('close', () => {
      this.#poke(leaver);
      // Those that were queued behind it before the drain began were never shown to us.
      const next = currentResponse(socket);
      if (next && leaver.stage === 'open') this.#onResponse(next);
    });
  }

  #onUpgrade(socket: Socket): void {
    const leaver = this.#leaverAt(socket);
    if (!leaver) return;
    leaver.upgradedSince = performance.now();
    this.#poke(leaver);
  }

  #isOfferable({ refused, connection: { socket, raw } }: Leaver): boolean {
    return this.#settings.handOff !== undefined && !refused && socket === raw;
  }

  #gone(leaver: Leaver): void {
    this.#hold(leaver, false);
    this.#leavers.delete(leaver.connection.raw);
    this.#poked.delete(leaver);
    this.#queue.delete(leaver);
    if (leaver.stage === 'taken') this.tally.handedOff++;
    else if (leaver.stage !== 'cut') {
      this.tally.closed[leaver.protocol]++;
      if (leaver.connection.socket !== leaver.connection.raw) this.tally.closed.overTls++;
    }
    if (this.#leavers.size === 0 && this.#state === 'going') this.#end();
  }

  #end(): void {
    this.#state = 'over';
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    for (const undo of this.#undo) undo();
    this.#settle();
  }

  /** When the last one that holds is done, those that only waited with it have their turn. */
  #hold(leaver: Leaver, holds: boolean): void {
    if (leaver.holds === holds) return;
    leaver.holds = holds;
    this.#holding += holds ? 1 : -1;
    if (this.#holding === 0) for (const waiting of this.#leavers.values()) this.#poke(waiting);
  }

  #poke(leaver: Leaver | undefined): void {
    if (!leaver || this.#state === 'over') return;
    this.#poked.add(leaver);
    if (this.#state === 'going') this.#roundSoon();
  }

  #wakeAt(at: number): void {
    if (at >= this.#timerAt || this.#state === 'over') return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    const ms = Math.max(at - performance.now(), SHORTEST_PAUSE_MS);
    this.#timer = setTimeout(() => {
      this.#timerAt = NEVER;
      // From the timers phase to the one behind the poll.
      for (const leaver of this.#leavers.values()) this.#poke(leaver);
    }, ms);
  }

  #glance(): (server: Server) => Idle {
    const seen = new Map<Server, ReadonlySet<Socket>>();
    return server => () => {
      const idle = seen.get(server) ?? idleHttp1Sockets(server);
      seen.set(server, idle);
      return idle;
    };
  }

  #roundSoon(): void {
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      for (const leaver of this.#queue) {
        if (this.#poked.size >= LEAVE_AT_ONCE) break;
        this.#queue.delete(leaver);
        this.#poked.add(leaver);
      }
      const leavers = [...this.#poked];
      this.#poked.clear();
      this.#round(leavers);
      if (this.#queue.size > 0 && this.#state === 'going') this.#roundSoon();
    });
  }

  #round(leavers: Leaver[]): void {
    const now = performance.now();
    const idleOf = this.#glance();
    let left = 0;
    let next = Math.min(now + LONGEST_PAUSE_MS, this.#sayGoodbyes(leavers, now));
    for (const leaver of leavers) {
      if (leaver.stage !== 'open' || leaver.connection.raw.destroyed) continue;
      const facts = { now, offerable: this.#isOfferable(leaver), othersHold: this.#holding > (leaver.holds ? 1 : 0) };
      const decision = decide(leaver, idleOf(leaver.connection.server), facts, this.#settings);
      if (decision.act === 'offer') {
        this.#offer(leaver);
        continue;
      }
      this.#hold(leaver, decision.holds);
      if (decision.act === 'wait') {
        next = Math.min(next, decision.until);
        // Node's own keep-alive timer would destroy it, whatever may have arrived by then.
        if (leaver.protocol === 'http1' && leaver.idleSince === now) leaver.connection.socket.setTimeout(0);
      } else if (left++ < LEAVE_AT_ONCE) leave(leaver, this.#settings);
      else this.#queue.add(leaver);
    }
    this.#wakeAt(next);
  }

  /** @returns when the next of these goodbyes is due */
  #sayGoodbyes(leavers: Leaver[], now: number): number {
    const wants = { events: this.#settings.eventStreams === 'end', ask: this.#settings.endResponse !== undefined };
    const due = leavers.filter(leaver => needsGoodbye(leaver, wants));
    const fresh = due.filter(leaver => leaver.goodbyeAt === undefined);
    const times = spreadOver(fresh.length, this.#settings.spread, this.#endsAt - now);
    fresh.forEach((leaver, index) => {
      leaver.goodbyeAt = now + (times[index] ?? 0);
    });
    let next = NEVER;
    for (const leaver of due) {
      const at = leaver.goodbyeAt ?? now;
      if (at <= now) sayGoodbye(leaver, this.#settings, this.#asked);
      else next = Math.min(next, at);
    }
    return next;
  }

  #offer(leaver: Leaver): void {
    const { server, socket } = leaver.connection;
    const protocol = leaver.protocol === 'http1' ? 'http1' : 'tcp';
    leaver.stage = 'offered';
    this.#hold(leaver, true);
    const answer = async () => this.#settings.handOff?.(socket, { server, protocol });
    answer().then(
      taken => (taken ? this.#taken(leaver) : this.#refused(leaver)),
      () => this.#refused(leaver),
    );
  }

  #taken(leaver: Leaver): void {
    if (leaver.stage !== 'offered') return;
    leaver.stage = 'taken';
    leaver.connection.socket.destroy();
  }

  #refused(leaver: Leaver): void {
    leaver.refused = true;
    if (leaver.stage === 'offered') leaver.stage = 'open';
    this.#poke(leaver);
  }
}
