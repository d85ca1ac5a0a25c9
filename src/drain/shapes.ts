import type { Server, Socket } from 'node:net';
import { speaksHttp1 } from '../kernel/handle.ts';
import { makeRoomForNotes } from '../kernel/socket-notes.ts';
import { isHttp1Response, promiseClose } from './http1.ts';
import { SHIELDED } from './shield.ts';
import { isTlsServer } from './track.ts';

/*
 * A drain puts methods of its own on the program's servers, sockets and responses. V8 compiles what runs often for the
 * properties that its objects have: the first server or socket that gets another one has it throw away all of that, some
 * 60 functions of Node's net, stream and http, and compile them again while clients wait. So each has what a drain will put
 * there from the beginning, when nothing is compiled yet, as what it is anyway; the drain only writes.
 */

/** Responses are many, so only some get it: enough for V8 to have seen both kinds when it compiles, and not before it looks. */
const RESPONSES = { from: 40, to: 100, every: 3 };

const settled = new WeakSet<Server>();
let seen = 0;

/** Has a server, and from now on its sockets and responses, take the shape that they will have in a drain. */
export function settleShapes(server: Server): void {
  if (settled.has(server)) return;
  settled.add(server);
  for (const name of ['emit', ...SHIELDED]) settleMethod(server, name);
  // Behind Node's own, which some programs look for at the front.
  server.on('connection', settleSocket);
  if (isTlsServer(server)) server.on('secureConnection', settleSocket);
  const showOne = (_request: unknown, response: unknown) => {
    if (seen++ >= RESPONSES.to) server.off('request', showOne);
    else if (isDue(seen) && isHttp1Response(response)) promiseClose(response, () => false);
  };
  // In front of the program's, which may have sent it.
  if (speaksHttp1(server)) server.prependListener('request', showOne);
}

function settleSocket(socket: Socket): void {
  makeRoomForNotes(socket);
  settleMethod(socket, 'destroySoon');
}

function isDue(request: number): boolean {
  return request > RESPONSES.from && request % RESPONSES.every === 0;
}

/** Makes an inherited method an own one. */
function settleMethod(owner: object, name: string): void {
  const inherited: unknown = Reflect.get(owner, name);
  if (typeof inherited !== 'function' || Object.hasOwn(owner, name)) return;
  // Written twice: what was only written once V8 takes for constant.
  Object.defineProperty(owner, name, { value: undefined, configurable: true, writable: true });
  Reflect.set(owner, name, inherited);
}
