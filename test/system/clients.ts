import { connect, type NetConnectOpts, Socket } from 'node:net';
import * as kernel from '../../src/kernel/socket.ts';

/** What a client asks, and when it has its whole answer. */
export interface Exchange {
  request: string;
  isWhole(answer: string): boolean;
}

/** How a client fared. `reset` and `eof` are connections that ended before the whole answer had come. */
export type Fate = 'ok' | 'refused' | 'reset' | 'eof' | 'timeout' | 'other';

export interface Tally extends Record<Fate, number> {
  /** The longest time that a client waited for its answer, in ms. */
  slowest: number;
  /** What went wrong, and how long after the beginning. */
  details: string[];
}

/** No server of these tests takes longer to start. */
const CLIENT_TIMEOUT_MS = 15_000;

/** A GET whose connection the server closes, as servers with HTTP/1.0 do anyway. */
export const httpGet: Exchange = {
  request: 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
  isWhole(answer) {
    const head = answer.indexOf('\r\n\r\n');
    if (head === -1 || !/^HTTP\/1\.[01] 200 /.test(answer)) return false;
    const length = /^content-length: *(\d+)/im.exec(answer.slice(0, head));
    return length ? answer.length - head - 4 >= Number(length[1]) : answer.endsWith('\r\n0\r\n\r\n');
  },
};

export const redisPing: Exchange = { request: 'PING\r\n', isWhole: answer => answer === '+PONG\r\n' };

function emptyTally(): Tally {
  return { ok: 0, refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, slowest: 0, details: [] };
}

/** Clients that connect afresh the whole time, one every few ms, whatever becomes of the ones before. */
export class FreshClients {
  readonly #tally = emptyTally();
  readonly #open = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  #onAnswer: (() => void) | undefined;

  constructor(target: NetConnectOpts, exchange: Exchange, everyMs = 8) {
    const begun = performance.now();
    this.#timer = setInterval(() => {
      const one = ask(target, exchange).then(({ fate, ms, detail }) => {
        this.#open.delete(one);
        count(this.#tally, fate, ms, `${Math.round(performance.now() - begun)} ms: ${detail}`);
        this.#onAnswer?.();
      });
      this.#open.add(one);
    }, everyMs);
  }

  /** Resolves when so many more clients have had their outcome. */
  more(clients: number): Promise<void> {
    let left = clients;
    return new Promise(fulfil => {
      this.#onAnswer = () => {
        if (--left <= 0) fulfil();
      };
    });
  }

  /** No new clients; waits for those that are under way. */
  async stop(): Promise<Tally> {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
    return this.#tally;
  }
}

/** Clients that are connected and have asked, and wait for whoever accepts them. */
export interface Waiting {
  /** Resolves with how they fared. */
  outcome: Promise<Tally>;
}

/** Connects clients and sends their requests; resolves once the kernel has all connections. */
export async function queueClients(target: NetConnectOpts, exchange: Exchange, clients: number): Promise<Waiting> {
  const tally = emptyTally();
  const asked = Array.from({ length: clients }, () => open(target, exchange));
  const outcome = Promise.all(
    asked.map(async ({ answered }) => {
      const { fate, ms, detail } = await answered;
      count(tally, fate, ms, detail);
    }),
  ).then(() => tally);
  await Promise.all(asked.map(({ sent }) => sent));
  return { outcome };
}

/** One client from connect to whole answer. */
export function ask(target: NetConnectOpts, exchange: Exchange): Promise<Outcome> {
  return open(target, exchange).answered;
}

export interface Outcome {
  fate: Fate;
  ms: number;
  detail: string;
  answer: string;
}

function open(target: NetConnectOpts, exchange: Exchange): { sent: Promise<void>; answered: Promise<Outcome> } {
  const begun = performance.now();
  const socket = connectTo(target);
  const sent = new Promise<void>(fulfil => {
    socket.once('connect', () => socket.write(exchange.request, () => fulfil()));
    socket.once('close', () => fulfil());
  });
  const answered = new Promise<Outcome>(fulfil => {
    follow(socket, exchange, (fate, detail, answer) => fulfil({ fate, detail, answer, ms: performance.now() - begun }));
  });
  return { sent, answered };
}

/** Node 20 has no words for a name without a file (unix(7), "Abstract sockets"). */
function connectTo(target: NetConnectOpts): Socket {
  if (!('path' in target) || !target.path.startsWith('\0')) return connect(target);
  const fd = kernel.socket('unix', { nonblocking: true });
  kernel.connect(fd, { family: 'unix', path: target.path });
  const socket = new Socket({ fd, readable: true, writable: true });
  setImmediate(() => socket.emit('connect'));
  return socket;
}

function follow(socket: Socket, exchange: Exchange, done: (fate: Fate, detail: string, answer: string) => void): void {
  let answer = '';
  let connected = false;
  const finish = (fate: Fate, detail: string) => {
    clearTimeout(deadline);
    done(fate, detail, answer);
    socket.destroy();
  };
  const deadline = setTimeout(() => finish('timeout', `no answer, connected: ${connected}`), CLIENT_TIMEOUT_MS);
  socket.once('connect', () => {
    connected = true;
  });
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1');
    if (exchange.isWhole(answer)) finish('ok', '');
  });
  socket.once('end', () => finish('eof', `closed after ${answer.length} bytes`));
  socket.once('error', (error: NodeJS.ErrnoException) => finish(fateOf(error), error.message));
}

function fateOf({ code }: NodeJS.ErrnoException): Fate {
  if (code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'EAGAIN') return 'refused';
  return code === 'ECONNRESET' || code === 'EPIPE' ? 'reset' : 'other';
}

function count(tally: Tally, fate: Fate, ms: number, detail: string): void {
  tally[fate]++;
  tally.slowest = Math.max(tally.slowest, ms);
  if (fate !== 'ok') tally.details.push(`${fate} at ${detail}`);
}
