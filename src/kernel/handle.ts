/**
 * What Node does not document, and relisten cannot do without: handles, symbols and private fields of net, http, tls and
 * http2. Each export says what it relies on, since when it is so, and was tried on Node 20.20, 22.23, 24.21 and 26.10.
 * Where a Node lacks a thing the answer is "nothing" (undefined, an empty list), never a throw.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Server, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** The value under the own symbol of this description: Node's internals use `Symbol('…')`, which nobody can import. */
function bySymbol(owner: object, description: string): unknown {
  const symbol = Object.getOwnPropertySymbols(owner).find(candidate => candidate.description === description);
  return symbol === undefined ? undefined : Reflect.get(owner, symbol);
}

/** A private field, of which nothing is known. */
function field(owner: object, name: string): unknown {
  return (owner as Record<string, unknown>)[name];
}

/** What is looked at on each of thousands of sockets: by name, which V8 does faster than by a variable. */
interface SocketInternals {
  parser?: unknown;
  _httpMessage?: unknown;
  _parent?: unknown;
  _server?: unknown;
  server?: unknown;
}

function inside(socket: Socket): SocketInternals {
  return socket as unknown as SocketInternals;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/**
 * Closes the listener and nothing else, as `net.Server` does.
 *
 * `http.Server.prototype.close` destroys idle connections first since Node 19, silent ones too since 26.4, and so loses
 * what is in their receive buffers; `http2`'s ends its sessions since 24. The method of `net.Server` does neither, in
 * any of them, and the server still emits 'close' once its last connection is gone.
 */
export function closeListener(server: Server): void {
  process.getBuiltinModule('net').Server.prototype.close.call(server);
}

/**
 * Has a server count one connection more (`server._connections`, since Node 0.x): it is not closed, and does not emit
 * 'close', before that is taken back.
 *
 * @returns takes it back
 */
export function countOneMore(server: Server): () => void {
  const count = (more: number) => Reflect.set(server, '_connections', Number(field(server, '_connections')) + more);
  count(1);
  return () => {
    count(-1);
    const look = field(server, '_emitCloseIfDrained');
    if (typeof look === 'function') Reflect.apply(look, server, []);
  };
}

/**
 * Ends the interval that watches headersTimeout and requestTimeout (`server[kConnectionsCheckingInterval]`, since Node
 * 18): http.Server.close() would have done so. It has to outlive the listener, so this comes last.
 */
export function stopConnectionChecks(server: Server): void {
  const interval = bySymbol(server, 'http.server.connectionsCheckingInterval');
  if (interval !== undefined) clearInterval(interval as NodeJS.Timeout);
}

interface HttpParser {
  socket?: Socket | null;
}

interface ConnectionsList {
  idle(): HttpParser[];
  all(): HttpParser[];
}

function connectionsList(server: Server): ConnectionsList | undefined {
  const list = bySymbol(server, 'http.server.connections');
  return isObject(list) && 'idle' in list && 'all' in list ? (list as ConnectionsList) : undefined;
}

/**
 * Whether this server speaks HTTP/1.1: it has a connections list (`server[kConnections]`, since Node 18, made on
 * 'listening'), or it is an http(s).Server that never listened and gets its sockets by `emit('connection')`.
 */
export function speaksHttp1(server: Server): boolean {
  return connectionsList(server) !== undefined || 'maxRequestsPerSocket' in server;
}

/** The sockets that have an HTTP/1.1 parser of this server's, upgraded ones excluded. */
export function http1Sockets(server: Server): Socket[] {
  return socketsOf(connectionsList(server)?.all());
}

/**
 * The sockets of which the parser's own list says that no byte of a next request was consumed (`ConnectionsList.idle()`,
 * since Node 18). Those of them that {@link isQuiet} and have read something are provably between two requests. A
 * socket that never sent a byte is not one of them: before Node 26.4 the list calls it active, since then both.
 */
export function idleHttp1Sockets(server: Server): Set<Socket> {
  return new Set(socketsOf(connectionsList(server)?.idle()));
}

/** No response is in the making, nothing waits to be written, and nothing that was read waits for a listener. */
export function isQuiet(socket: Socket): boolean {
  return !currentResponse(socket) && !socket.destroyed && socket.writableLength === 0 && socket.readableLength === 0;
}

function socketsOf(parsers: HttpParser[] | undefined): Socket[] {
  const sockets: Socket[] = [];
  for (const { socket } of parsers ?? []) if (socket) sockets.push(socket);
  return sockets;
}

/** Whether an HTTP/1.1 parser reads this socket (`socket.parser`; freed by upgrade and CONNECT). */
export function hasHttp1Parser(socket: Socket): boolean {
  return isObject(inside(socket).parser);
}

/** The response whose turn it is on this socket (`socket._httpMessage`, since Node 0.x). */
export function currentResponse(socket: Socket): ServerResponse | undefined {
  const message = inside(socket)._httpMessage;
  return isObject(message) ? (message as ServerResponse) : undefined;
}

/**
 * Whether no later request of a pipeline has been parsed behind this response's own: `parser.incoming` is the newest
 * request, and is only cleared when the response to that very request is finished.
 */
export function isLatestResponse(response: ServerResponse): boolean {
  const parser = field(response.req.socket, 'parser');
  const newest = isObject(parser) ? (field(parser, 'incoming') as IncomingMessage | null) : null;
  return newest === null || newest === response.req;
}

/** The header as it goes over the wire, once it is made (`response._header`; getHeader() knows nothing of writeHead's). */
export function wireHeader(response: ServerResponse): string {
  const header = field(response, '_header');
  return typeof header === 'string' ? header : '';
}

/**
 * The accepted sockets of a server that nobody tracked: `process._getActiveHandles()` (undocumented, since 0.x) lists
 * every referenced handle's owner, and an accepted socket has its server in `_server`. Sockets that were unref'd are
 * not in it. For a TLS server these are the raw sockets underneath.
 */
export function acceptedSockets(servers: ReadonlySet<unknown>): Socket[] {
  const list: unknown = Reflect.get(process, '_getActiveHandles');
  if (typeof list !== 'function') return [];
  const handles: unknown[] = Reflect.apply(list, process, []);
  return handles.filter((handle): handle is Socket => isSocket(handle) && servers.has(acceptedBy(handle)));
}

/** The server of an accepted socket: `_server`, and `server`, which http sets on what it got by `emit('connection')` too. */
export function acceptedBy(socket: Socket): unknown {
  return inside(socket)._server ?? inside(socket).server;
}

let SocketClass: typeof Socket | undefined;

/** Whoever has a socket has loaded `net`; importing relisten does not, as it must be cheap. */
function isSocket(value: unknown): value is Socket {
  if (!isObject(value)) return false;
  SocketClass ??= process.getBuiltinModule('net').Socket;
  return value instanceof SocketClass;
}

/** The raw socket under a TLS socket that a server accepted (`tlsSocket._parent`, since Node 0.12). */
export function rawSocketUnder(socket: Socket): Socket | undefined {
  const parent = inside(socket)._parent;
  return isSocket(parent) ? parent : undefined;
}

/**
 * The TLS socket over a raw one. Nothing points upwards but a 'close' listener, `() => this.destroy()`, that
 * TLSSocket puts on the raw socket (since Node 12): it is called once while `destroy` only says who was asked.
 */
export function tlsSocketOver(raw: Socket): TLSSocket | undefined {
  const upwards = raw.listeners('close').find(listener => /^\(\)\s*=>\s*this\.destroy\(\)$/.test(String(listener)));
  if (!upwards) return undefined;
  let found: TLSSocket | undefined;
  // Not imported: loading tls costs 3 ms, and whoever has such a socket has loaded it.
  const { TLSSocket } = process.getBuiltinModule('tls');
  const own = Object.getOwnPropertyDescriptor(TLSSocket.prototype, 'destroy');
  const spy = function (this: TLSSocket) {
    found = this;
    return this;
  };
  Object.defineProperty(TLSSocket.prototype, 'destroy', { value: spy, configurable: true, writable: true });
  try {
    Reflect.apply(upwards, raw, []);
  } finally {
    if (own) Object.defineProperty(TLSSocket.prototype, 'destroy', own);
    else Reflect.deleteProperty(TLSSocket.prototype, 'destroy');
  }
  return found;
}

/**
 * The HTTP/2 session on a socket. Node 20 to 26 keep it under a key that their own import left undefined, so that it is
 * the string 'undefined'; should they repair that, it is a symbol `bound session` or `session`.
 */
export function http2SessionOn(socket: Socket): ServerHttp2Session | undefined {
  const candidates = [field(socket, 'undefined'), bySymbol(socket, 'bound session'), bySymbol(socket, 'session')];
  return candidates.find(
    (candidate): candidate is ServerHttp2Session => isObject(candidate) && 'goaway' in candidate && 'ping' in candidate,
  );
}

/**
 * The streams of a session that are open (`session[kState].streams`, since Node 8): a Map, but one that Node cut off from
 * `Map.prototype`, so that `instanceof` does not know it.
 */
export function openStreams(session: ServerHttp2Session): ServerHttp2Stream[] {
  const state = bySymbol(session, 'state');
  const streams = isObject(state) ? field(state, 'streams') : undefined;
  if (!process.getBuiltinModule('util').types.isMap(streams)) return [];
  return [...Map.prototype.values.call(streams)];
}

/**
 * Makes a socket read again that HTTP/2 has stopped: after a GOAWAY without open streams nghttp2 wants nothing more
 * (nghttp2_session_want_read(3)), and Node stops reading below it (Http2Session::MaybeStopReading, since Node 12), so
 * that a request on its way, an answer to PING, and even the peer's FIN go unseen. It stops again after every read.
 */
export function readOn(socket: Socket): void {
  const handle = field(socket, '_handle');
  if (isObject(handle) && 'readStart' in handle && typeof handle.readStart === 'function') handle.readStart();
}

/** The descriptor of an open socket (`socket._handle.fd`, since Node 0.x); Node's to close. */
export function descriptorOf(socket: Socket): number | undefined {
  const handle = field(socket, '_handle');
  const fd = isObject(handle) ? field(handle, 'fd') : undefined;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

/**
 * The descriptor of a TCP listener that the server bound itself (`server._handle.fd`, since Node 0.x). Undefined for one
 * that came as a descriptor: `server._connectionKey` is then `null:null:null`, else it begins with the family (since 0.12).
 */
export function ownListenerFd(server: Server): number | undefined {
  const handle = field(server, '_handle');
  const fd = isObject(handle) ? field(handle, 'fd') : undefined;
  const isOwn = /^[46]:/.test(String(field(server, '_connectionKey')));
  return isOwn && typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

/** Whether a TCP listener was to have whatever port is free (`server._connectionKey`, `4:127.0.0.1:0`, since 0.12). */
export function hasAnyPort(server: Server): boolean {
  return /^[46]:.*:0$/.test(String(field(server, '_connectionKey')));
}

/**
 * Runs what process.nextTick() and promises have put off, as Node does when a callback of libuv returns; before the
 * program's first line nothing else would (`process._tickCallback`, since Node 0.9). For what waits in front of that line.
 */
export function finishTicks(): void {
  const run = field(process, '_tickCallback');
  if (typeof run === 'function') Reflect.apply(run, process, []);
}
