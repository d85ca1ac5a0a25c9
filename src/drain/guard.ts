import type { Server, Socket } from 'node:net';
import {
  acceptedBy,
  currentResponse,
  hasFailed,
  hasHttp1Parser,
  http1Sockets,
  newestRequest,
} from '../kernel/handle.ts';
import { noteOn, notesOf } from '../kernel/socket-notes.ts';

/*
 * A program that is told to stop may close its connections one by one: with a library (http-terminator, stoppable,
 * terminus), by closeAllConnections(), or in a loop of its own. What it destroys may have a request on its way that nobody
 * will answer, and could have been handed off. So while a server is held, what its program does to an HTTP/1.1 connection
 * waits for the drain, which ends each well, and at the deadline in any case.
 */

type Method = 'end' | 'destroy';

interface Hold {
  /** Shields may be several. */
  count: number;
  /** What the program wanted meanwhile. */
  readonly wanted: Map<Socket, Method>;
}

const guarded = new WeakSet<Server>();
const holds = new WeakMap<object, Hold>();
let passes = false;

/** Gives the connections of a server what holds them later, those to come too. */
export function guardConnections(server: Server): void {
  if (guarded.has(server)) return;
  guarded.add(server);
  for (const socket of http1Sockets(server)) guard(socket);
}

/** Each as own property, written twice: what was only written once V8 takes for constant (see shapes.ts). */
export function guard(socket: Socket): void {
  for (const [name, method] of OWN) {
    if (Object.hasOwn(socket, name)) continue;
    Object.defineProperty(socket, name, { value: undefined, configurable: true, writable: true });
    Reflect.set(socket, name, method);
  }
}

/**
 * Holds what a program does to the HTTP/1.1 connections of its server.
 *
 * | the program calls                       | and the connection                         |
 * |-----------------------------------------|--------------------------------------------|
 * | `end()`, `destroy()` without an argument | stays                                      |
 * | `end(bytes)`, `destroy(error)`          | ends: it is told why                       |
 * | either, when the client has ended it    | ends                                       |
 * | either, after 'clientError'             | ends: nothing more can be read on it       |
 * | either, when it gave up the response, or the request in the middle | ends            |
 *
 * @returns undoes it; what is left then ends as the program wanted
 */
export function holdConnections(server: Server): () => void {
  const hold: Hold = holds.get(server) ?? { count: 0, wanted: new Map() };
  holds.set(server, hold);
  hold.count++;
  guardConnections(server);
  // In front of the program's, which may destroy what it accepts now.
  server.prependListener('connection', guard);
  server.prependListener('secureConnection', guard);
  let undone = false;
  return () => {
    if (undone) return;
    undone = true;
    server.off('connection', guard);
    server.off('secureConnection', guard);
    if (--hold.count > 0) return;
    holds.delete(server);
    for (const [socket, method] of hold.wanted) if (!socket.destroyed) socket[method]();
  };
}

/** The drain ends this connection itself from now on. */
export function letGo(socket: Socket): void {
  if (socket.destroy === METHODS.destroy) noteOn(socket).letGo = true;
}

/** Runs something that has to reach Node's own end() and destroy(). */
export function unguarded<T>(act: () => T): T {
  passes = true;
  try {
    return act();
  } finally {
    passes = false;
  }
}

const METHODS = {
  end(this: Socket, ...args: unknown[]): unknown {
    return isHeld(this, args[0]) ? keep(this, 'end', args) : callInherited(this, 'end', args);
  },
  destroy(this: Socket, ...args: unknown[]): unknown {
    return isHeld(this, args[0]) ? keep(this, 'destroy', args) : callInherited(this, 'destroy', args);
  },
  /** Node calls it behind a response that said `Connection: close`; it calls the others. */
  destroySoon(this: Socket, ...args: unknown[]): unknown {
    letGo(this);
    return callInherited(this, 'destroySoon', args);
  },
};

const OWN = Object.entries(METHODS);

/** By then it may have another prototype, or that another method. */
function callInherited(socket: Socket, name: keyof typeof METHODS, args: unknown[]): unknown {
  return Reflect.apply(Object.getPrototypeOf(socket)[name], socket, args);
}

function isHeld(socket: Socket, first: unknown): boolean {
  if (passes || !holds.has(Object(acceptedBy(socket))) || notesOf(socket)?.letGo) return false;
  const saysWhy = first !== undefined && first !== null && typeof first !== 'function';
  if (saysWhy || socket.destroyed || socket.readableEnded || !hasHttp1Parser(socket) || hasFailed(socket)) return false;
  const request = newestRequest(socket);
  const isGivenUp = request?.destroyed === true && !request.complete;
  return !isGivenUp && currentResponse(socket)?.destroyed !== true;
}

function keep(socket: Socket, method: Method, args: unknown[]): Socket {
  const wanted = holds.get(Object(acceptedBy(socket)))?.wanted;
  if (method === 'destroy' || !wanted?.has(socket)) wanted?.set(socket, method);
  const callback = args.find(arg => typeof arg === 'function');
  if (callback) socket.once('close', () => callback());
  return socket;
}
