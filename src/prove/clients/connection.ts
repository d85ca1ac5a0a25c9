import { connect, type Socket } from 'node:net';
import type { Arrival, Observer } from '../arrival.ts';
import { failureOf, type Seen } from '../failure.ts';
import type { Target } from '../target.ts';
import type { PoolConnection } from './pool.ts';

/** What the connections of one class share. */
export interface Wiring {
  target: Target;
  observer: Observer;
  /** The sockets that are open. */
  sockets: Set<Socket>;
}

/** A server that announced its close gets this long to close first, as in life; then we do. */
const LINGER_MS = 1000;

/**
 * One connection of a client, opened when a request needs it.
 * It carries one request at a time, tries nothing twice, and says of every end what it was.
 * A protocol says what to send, what to make of the bytes that come, and what an end in their middle means.
 */
export abstract class Connection implements PoolConnection {
  protected readonly observer: Observer;
  /** The request that is out, if one is. */
  protected arrival: Arrival | undefined;
  protected socket: Socket | undefined;
  readonly #target: Target;
  readonly #sockets: Set<Socket>;
  readonly #onFree: () => void;
  #carried = 0;

  /** @param onFree called when the next request may come, whatever became of this one */
  constructor(wiring: Wiring, onFree: () => void) {
    this.observer = wiring.observer;
    this.#target = wiring.target;
    this.#sockets = wiring.sockets;
    this.#onFree = onFree;
  }

  begin(arrival: Arrival): void {
    this.arrival = arrival;
    arrival.giveUp = () => this.drop();
    arrival.reused = this.#carried > 0;
    const opened = this.socket === undefined;
    const socket = this.socket ?? this.#open();
    arrival.stage = socket.connecting ? 'connect' : 'request';
    this.send(socket, opened);
  }

  /** Sends the request; what is written before the connection stands waits in Node. */
  protected abstract send(socket: Socket, opened: boolean): void;

  /** Bytes came while a request is out. */
  protected abstract receive(chunk: Buffer): void;

  /** Whether a part of the response to the request that is out has come. */
  protected abstract halfway(): boolean;

  /** The server ended the connection while a request is out: settles it. */
  protected ended(): void {
    this.#gone({ kind: 'eof' });
  }

  /** Bytes came between two requests. */
  protected receiveIdle(_chunk: Buffer): void {
    this.observer.count('unsolicited');
    this.drop();
  }

  protected succeed(generation?: string): void {
    const arrival = this.#settle();
    if (arrival) this.observer.succeed(arrival, generation);
    this.#onFree();
  }

  /** The request failed, but its connection is whole. */
  protected failOnly(seen: Seen): void {
    const arrival = this.#settle();
    if (arrival) this.observer.fail(arrival, seen);
    this.#onFree();
  }

  /** The request failed, and its connection with it. */
  protected fail(seen: Seen): void {
    if (this.arrival) this.observer.fail(this.arrival, seen);
    this.drop();
  }

  /** Gives the connection up, whatever it was doing. */
  protected drop(): void {
    const busy = this.arrival !== undefined;
    const socket = this.socket;
    this.arrival = undefined;
    this.socket = undefined;
    socket?.destroy();
    if (busy) this.#onFree();
  }

  /** Leaves the close to the server, which announced it, so that TIME_WAIT stays where it does in life. */
  protected linger(): void {
    const socket = this.socket;
    this.socket = undefined;
    if (!socket) return;
    const cut = setTimeout(() => socket.destroy(), LINGER_MS).unref();
    socket.once('close', () => clearTimeout(cut));
  }

  #settle(): Arrival | undefined {
    const arrival = this.arrival;
    this.arrival = undefined;
    this.#carried += 1;
    return arrival;
  }

  #open(): Socket {
    this.observer.count('opened');
    this.#carried = 0;
    // One family, one address: happy eyeballs would be a second try that nobody sees.
    const socket = connect({ ...this.#target.connect, noDelay: true, autoSelectFamily: false });
    this.socket = socket;
    this.#sockets.add(socket);
    // A socket that was given up, or lingers, has nothing more to say.
    const mine = (act: () => void) => () => {
      if (this.socket === socket) act();
    };
    socket.on(
      'connect',
      mine(() => this.#connected()),
    );
    socket.on('data', chunk => mine(() => this.#received(chunk))());
    socket.on(
      'end',
      mine(() => (this.arrival ? this.ended() : this.#gone({ kind: 'eof' }))),
    );
    socket.on('error', error => mine(() => this.#gone(failureOf(error)))());
    socket.on(
      'close',
      mine(() => this.#gone({ kind: 'eof' })),
    );
    socket.on('close', () => this.#sockets.delete(socket));
    return socket;
  }

  #connected(): void {
    if (this.arrival) this.arrival.stage = 'request';
  }

  #received(chunk: Buffer): void {
    if (!this.arrival) {
      this.receiveIdle(chunk);
      return;
    }
    this.arrival.stage = 'response';
    this.receive(chunk);
  }

  /**
   * The connection is gone, between two requests or in the middle of one.
   * Inside a response RST and FIN have one name, `truncated`: libuv reports an RST that comes together with bytes as an
   * end (uv__stream_eof), so telling them apart there would be luck. `code` says ECONNRESET where it was seen.
   */
  #gone(seen: Seen): void {
    if (!this.arrival) this.observer.count('closedWhileIdle');
    const cut = (seen.kind === 'eof' || seen.kind === 'reset') && this.arrival !== undefined && this.halfway();
    this.fail(cut ? { ...seen, kind: 'truncated' } : seen);
  }
}
