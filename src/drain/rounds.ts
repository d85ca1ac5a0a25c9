import type { ServerResponse } from 'node:http';
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Server, Socket } from 'node:net';
import {
  currentResponse,
  hasHttp1Parser,
  http2SessionOn,
  idleHttp1Sockets,
  isQuiet,
  openStreams,
  rawSocketUnder,
  speaksHttp1,
} from '../kernel/handle.ts';
import { suspendTimeout } from '../kernel/socket-timeout.ts';
import { Agenda, take } from './agenda.ts';
import { findConnections } from './connections.ts';
import { interceptResponses, promiseClose } from './http1.ts';
import { IdleList } from './idle.ts';
import { cut, destroy, leave, leaveBehind, sayGoodbye } from './leave.ts';
import { decide, type Leaver, leaverOf, lossOf, needsGoodbye } from './leaver.ts';
import type { DrainSettings } from './options.ts';
import { type CutConnection, type DrainProgress, perProtocol } from './report.ts';
import { type Connection, trackConnections } from './track.ts';
import { spreadOver } from './websocket.ts';

/** Closing is a system call each, and what arrives meanwhile is lost: so few at a time, each time right after a poll. */
const LEAVE_AT_ONCE = 32;
/**
 * Offers without an answer, at first. Who is offered is not served until somebody has taken it, and the process that takes
 * has just started and does everything for the first time; whoever is not offered yet is served here. Each answer makes
 * room for one more, so that it doubles with each exchange.
 */
const FIRST_OFFERS = 4;
/** All connections are looked at again after this time: some changes have no event. */
const LONGEST_PAUSE_MS = 500;
/** How long a last goodbye may take to be written when there is no time left. */
const LAST_WORD_MS = 100;
const NEVER = Number.POSITIVE_INFINITY;

/**
 * Goes round the connections of the servers until none is left: looks at each open one afresh, decides, and acts.
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
  readonly #agenda = new Agenda<Leaver>(
    () => this.#undecided(),
    leavers => this.#round(leavers),
  );
  readonly #idle = new IdleList();
  readonly #asked = new WeakSet<object>();
  readonly #seen = new WeakSet<ServerResponse>();
  readonly #undo: (() => void)[] = [];
  #settle: () => void = () => undefined;
  #state: 'watching' | 'going' | 'cutting' = 'watching';
  #holding = 0;
  #offers = 0;
  #mostOffers = FIRST_OFFERS;
  /** Those that may be offered when there is room. */
  readonly #toOffer = new Set<Leaver>();
  #lastWord: NodeJS.Timeout | undefined;

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
    // Before all else, which may take a while: Node would close those whose time is up meanwhile, whatever has arrived.
    for (const server of this.#servers) {
      // The list has those, too, whose request has come whole and is not answered yet.
      for (const socket of idleHttp1Sockets(server)) if (isQuiet(socket)) suspendTimeout(socket);
    }
    for (const server of this.#servers) {
      const connections = trackConnections(server);
      this.#listen(server, 'connection', (raw: Socket) => this.#add(connections.get(raw), true));
      this.#listen(server, 'secureConnection', (socket: Socket) => this.#poke(socket));
      this.#listen(server, 'session', (session: ServerHttp2Session) => this.#countStreams(session));
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
    else this.#agenda.start();
  }

  /** The deadline: whatever is in use is cut and told of, the rest is closed. */
  cut(): void {
    this.#state = 'cutting';
    this.#agenda.stop();
    const now = performance.now();
    const idle = this.#idle.look();
    for (const leaver of this.#leavers.values()) {
      // What is being passed on is not ours to say goodbye to: the client would hear it from its new owner's connection.
      if (leaver.stage === 'taken' || leaver.stage === 'offered') continue;
      const loss = lossOf(leaver, idle(leaver.connection.server), now);
      if (loss) this.tally.cut.push(loss);
      leaver.stage = loss ? 'cut' : 'leaving';
      cut(leaver, this.#settings);
    }
    this.#lastWord = setTimeout(() => {
      for (const leaver of this.#leavers.values()) destroy(leaver);
    }, LAST_WORD_MS);
    if (this.#leavers.size === 0) this.#end();
  }

  /** What is open now, and how much of it the drain waits for. */
  open(): Pick<DrainProgress, 'open' | 'waitingFor'> {
    const open = perProtocol();
    for (const { protocol } of this.#leavers.values()) open[protocol]++;
    return { open, waitingFor: this.#holding };
  }

  #listen<T>(server: Server, event: string, listener: (given: T) => void): void {
    server.on(event, listener);
    this.#undo.push(() => server.off(event, listener));
  }

  #add(connection: Connection | undefined, isLate = false): void {
    if (!connection || this.#leavers.has(connection.raw)) return;
    const leaver = leaverOf(connection, isLate);
    this.#leavers.set(connection.raw, leaver);
    connection.onClosed = this.#onClosed;
    const response = currentResponse(connection.socket);
    if (response) this.#onResponse(response);
    const session = leaver.protocol === 'http2' && !isLate ? http2SessionOn(connection.socket) : undefined;
    if (session) this.#countStreams(session);
    this.#agenda.poke(leaver);
  }

  #countStreams(session: ServerHttp2Session): void {
    const count = (stream: ServerHttp2Stream) => {
      stream.once('close', () => {
        const isWhole = stream.rstCode === 0 && stream.writableFinished;
        if (isWhole && this.#state !== 'cutting') this.tally.finished++;
      });
    };
    openStreams(session).forEach(count);
    session.on('stream', count);
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
      this.#agenda.poke(leaver);
      return !this.#isOfferable(leaver);
    });
    response.once('finish', () => this.tally.finished++);
    response.once('close', () => {
      this.#agenda.poke(leaver);
      // Those that were queued behind it before the drain began were never shown to us.
      const next = currentResponse(socket);
      if (next && leaver.stage === 'open') this.#onResponse(next);
    });
  }

  #onUpgrade(socket: Socket): void {
    const leaver = this.#leaverAt(socket);
    if (!leaver) return;
    leaver.upgradedSince = performance.now();
    this.#agenda.poke(leaver);
  }

  #isOfferable({ refused, connection: { socket, raw } }: Leaver): boolean {
    return this.#settings.handOff !== undefined && !refused && socket === raw;
  }

  readonly #onClosed = ({ raw }: Connection): void => {
    const leaver = this.#leavers.get(raw);
    if (leaver) this.#gone(leaver);
  };

  #gone(leaver: Leaver): void {
    this.#hold(leaver, false);
    this.#leavers.delete(leaver.connection.raw);
    this.#toOffer.delete(leaver);
    this.#agenda.forget(leaver);
    if (leaver.stage === 'taken') this.tally.handedOff++;
    else if (leaver.stage !== 'cut') {
      this.tally.closed[leaver.protocol]++;
      if (leaver.connection.socket !== leaver.connection.raw) this.tally.closed.overTls++;
    }
    if (this.#leavers.size === 0 && this.#state !== 'watching') this.#end();
  }

  #end(): void {
    this.#agenda.stop();
    clearTimeout(this.#lastWord);
    for (const undo of this.#undo) undo();
    this.#settle();
  }

  /** When the last one that holds is done, those that only waited with it have their turn. */
  #hold(leaver: Leaver, holds: boolean): void {
    if (leaver.holds === holds) return;
    leaver.holds = holds;
    this.#holding += holds ? 1 : -1;
    if (this.#holding === 0) this.#agenda.pokeAll();
  }

  #poke(socket: Socket): void {
    const leaver = this.#leaverAt(socket);
    if (leaver) this.#agenda.poke(leaver);
  }

  #round(leavers: readonly Leaver[]): void {
    const now = performance.now();
    const idleOf = this.#idle.look();
    let left = 0;
    let next = Math.min(now + LONGEST_PAUSE_MS, this.#sayGoodbyes(leavers, now));
    for (const leaver of leavers) {
      if (leaver.stage !== 'open' || leaver.connection.raw.destroyed) continue;
      const offerable = this.#isOfferable(leaver);
      // Whether it is idle matters when its turn comes: to ask for each of thousands at every look takes long.
      if (offerable && this.#offers >= this.#mostOffers && hasHttp1Parser(leaver.connection.socket)) {
        this.#hold(leaver, true);
        this.#toOffer.add(leaver);
        continue;
      }
      const facts = { now, offerable, othersHold: this.#holding > (leaver.holds ? 1 : 0) };
      const decision = decide(leaver, idleOf(leaver.connection.server), facts, this.#settings);
      if (decision.act === 'offer') {
        this.#hold(leaver, true);
        if (leaver.protocol === 'http1') suspendTimeout(leaver.connection.socket);
        if (this.#offers < this.#mostOffers) void this.#offer(leaver);
        else this.#toOffer.add(leaver);
        continue;
      }
      this.#toOffer.delete(leaver);
      this.#hold(leaver, decision.holds);
      if (decision.act === 'wait') {
        next = Math.min(next, decision.until);
        // Node's own keep-alive timer would destroy it, whatever may have arrived by then.
        if (leaver.protocol === 'http1' && leaver.idleSince === now) suspendTimeout(leaver.connection.socket);
      } else if (left++ < LEAVE_AT_ONCE) leave(leaver, this.#settings);
      else this.#agenda.defer(leaver);
    }
    // There is room where those that it was made for are in use, or gone.
    for (const leaver of take(this.#toOffer, this.#mostOffers - this.#offers)) this.#agenda.poke(leaver);
    this.#agenda.wakeAt(next);
  }

  /** @returns when the next of these goodbyes is due */
  #sayGoodbyes(leavers: readonly Leaver[], now: number): number {
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

  async #offer(leaver: Leaver): Promise<void> {
    const { server, socket } = leaver.connection;
    const protocol = leaver.protocol === 'http1' ? 'http1' : 'tcp';
    leaver.stage = 'offered';
    this.#toOffer.delete(leaver);
    this.#offers++;
    let taken: boolean | undefined;
    try {
      taken = await this.#settings.handOff?.(socket, { server, protocol });
    } catch {
      // As if nobody had taken it.
    }
    if (taken) this.#taken(leaver);
    else this.#refused(leaver);
    this.#answered();
  }

  /** An answer makes room for its like, and for one more. */
  #answered(): void {
    this.#offers--;
    this.#mostOffers++;
    for (const leaver of take(this.#toOffer, 2)) this.#agenda.poke(leaver);
  }

  /** Whoever waits to be offered is looked at when there is room, which an answer makes. */
  *#undecided(): Iterable<Leaver> {
    const answersCome = this.#offers > 0;
    for (const leaver of this.#leavers.values()) if (!answersCome || !this.#toOffer.has(leaver)) yield leaver;
  }

  #taken(leaver: Leaver): void {
    if (leaver.stage !== 'offered') return;
    leaver.stage = 'taken';
    leaver.connection.socket.destroy();
  }

  #refused(leaver: Leaver): void {
    leaver.refused = true;
    if (leaver.stage === 'offered') leaver.stage = 'open';
    this.#agenda.poke(leaver);
  }
}
