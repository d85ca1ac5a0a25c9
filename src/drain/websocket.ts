import type { Duplex } from 'node:stream';

/** The part of a `ws` WebSocket that a drain needs (ws 7 and 8; socket.io brings its own copy). */
export interface WebSocketLike {
  readonly readyState: number;
  close(code: number, reason: string): void;
  terminate(): void;
}

/** The part of a `ws` WebSocketServer that a drain needs. */
export interface WebSocketServerLike {
  readonly clients: Set<WebSocketLike>;
  handleUpgrade(...args: unknown[]): unknown;
}

const OPEN = 1;

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/**
 * The `ws` WebSocket that owns a socket. ws keeps it there under a symbol of its own, `Symbol('websocket')` (lib/constants.js
 * kWebSocket, since ws 7), which finds it in whatever copy of ws an application or socket.io loaded.
 */
export function webSocketOn(socket: Duplex): WebSocketLike | undefined {
  const symbol = Object.getOwnPropertySymbols(socket).find(candidate => candidate.description === 'websocket');
  const found: unknown = symbol && Reflect.get(socket, symbol);
  return isWebSocket(found) ? found : undefined;
}

function isWebSocket(value: unknown): value is WebSocketLike {
  return isObject(value) && 'readyState' in value && 'close' in value && 'terminate' in value;
}

/** Whether this is a `ws` WebSocketServer, of any copy of ws. */
export function isWebSocketServer(value: unknown): value is WebSocketServerLike {
  return isObject(value) && 'clients' in value && value.clients instanceof Set && 'handleUpgrade' in value;
}

/**
 * Sends the close frame (RFC 6455 section 5.5.1) once. ws then waits for the peer's own, and closes the socket as the
 * server should: first (section 7.1.1).
 */
export function closeWebSocket(webSocket: WebSocketLike, code: number, reason: string): void {
  if (webSocket.readyState === OPEN) webSocket.close(code, reason);
}

/**
 * When each of `count` goodbyes is said, in milliseconds from now: the window in equal slices, one goodbye at a random
 * instant of each slice, so that the load that comes back is even and no two clients are in step.
 *
 * | goodbyes | window       | default window        |
 * |----------|--------------|-----------------------|
 * | 0        | -            | -                     |
 * | n        | `spread`     | 5 ms each, at most 5 s |
 * | any      | never longer than half of what is left until the deadline |
 */
export function spreadOver(
  count: number,
  spread: number | undefined,
  leftMs: number,
  random: () => number = Math.random,
): number[] {
  const window = Math.min(spread ?? Math.min(5_000, count * 5), leftMs / 2);
  return Array.from({ length: count }, (_, index) => ((index + random()) * window) / count);
}
