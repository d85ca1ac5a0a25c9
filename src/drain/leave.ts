import type { ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { currentResponse, http2SessionOn, openStreams, wireHeader } from '../kernel/handle.ts';
import { isHandshaking } from './connections.ts';
import { halfClose } from './half-close.ts';
import { isEventStream } from './http1.ts';
import { closeSession, isEventStream as isEventStreamOver2 } from './http2.ts';
import type { Leaver } from './leaver.ts';
import type { DrainSettings } from './options.ts';
import { leaveTcp } from './tcp.ts';
import { closeWebSocket, webSocketOn } from './websocket.ts';

/** Begins the end of a connection that owes nobody an answer, or that ends the way its protocol says. */
export function leave(leaver: Leaver, settings: DrainSettings): void {
  const { socket, raw } = leaver.connection;
  leaver.stage = 'leaving';
  if (leaver.protocol === 'http2') {
    const session = http2SessionOn(socket);
    const failed = () => socket.destroy();
    if (session) closeSession(session, socket, settings).catch(failed);
  } else if (isHandshaking(leaver.connection)) raw.destroy();
  else if (leaver.protocol !== 'http1') void leaveTcp(socket, settings, settings.onDrain);
  else {
    // To one that never sent a byte nothing was ever owed: reading on for long would only hold the drain up.
    const linger = leaver.holds ? settings.linger : settings.clientFirst;
    halfClose(socket, { clientFirst: 0, linger }, 'discard');
  }
}

/** Ends the connection behind its last response, in place of Node's `destroySoon`, which does not read to the end. */
export function leaveBehind(response: ServerResponse, leaver: Leaver, settings: DrainSettings): void {
  const { socket } = leaver.connection;
  leaver.stage = 'leaving';
  const clientFirst = mayCloseFirst(response) ? settings.clientFirst : 0;
  halfClose(socket, { clientFirst, linger: settings.linger }, 'discard');
}

/**
 * Whether the client knows by itself that the response is over, and was the one that wanted the connection kept. Others
 * wait for our FIN: who asked for close, who speaks HTTP/1.0, and whoever got a body without a length (RFC 9112
 * section 6.3).
 */
function mayCloseFirst(response: ServerResponse): boolean {
  const { method, httpVersionMinor, headers } = response.req;
  if (httpVersionMinor === 0 || /\bclose\b/i.test(headers.connection ?? '')) return false;
  const hasNoBody = method === 'HEAD' || response.statusCode === 204 || response.statusCode === 304;
  return hasNoBody || /^(content-length|transfer-encoding):/im.test(wireHeader(response));
}

/** Says goodbye to what does not end by itself: a WebSocket, an event stream, what the application wants to end. */
export function sayGoodbye(leaver: Leaver, settings: DrainSettings, asked: WeakSet<object>): void {
  const { socket } = leaver.connection;
  const webSocket = webSocketOn(socket);
  const session = http2SessionOn(socket);
  if (webSocket) closeWebSocket(webSocket, settings.webSocketCode, settings.webSocketReason);
  else if (session) {
    for (const stream of openStreams(session)) void endOnce(stream, isEventStreamOver2, settings, asked);
  } else {
    const response = currentResponse(socket);
    if (response) void endOnce(response, isEventStream, settings, asked);
  }
}

async function endOnce<T extends ServerResponse | ServerHttp2Stream>(
  stream: T,
  isEvents: (stream: T) => boolean,
  { endResponse, eventStreams }: DrainSettings,
  asked: WeakSet<object>,
): Promise<void> {
  const isFirst = !asked.has(stream);
  asked.add(stream);
  try {
    if (endResponse && isFirst && (await endResponse(stream, 'req' in stream ? stream.req : undefined))) return;
  } catch (error) {
    process.emitWarning(error instanceof Error ? error : String(error), 'RelistenWarning');
  }
  if (eventStreams === 'wait' || !isEvents(stream) || stream.writableEnded) return;
  // What the application still writes until it notices is dropped, and is no error that it has to expect.
  stream.on('error', () => undefined);
  stream.end();
}

/** Ends a connection for which there is no time left. What is cut in the middle must not look complete: no FIN for it. */
export function cut(leaver: Leaver, settings: DrainSettings): void {
  const { socket } = leaver.connection;
  const webSocket = webSocketOn(socket);
  if (webSocket) closeWebSocket(webSocket, settings.webSocketCode, settings.webSocketReason);
  else if (leaver.stage === 'cut') destroy(leaver);
  else socket.end();
}

/** The end of all patience. */
export function destroy({ connection: { socket, raw } }: Leaver): void {
  http2SessionOn(socket)?.destroy();
  socket.destroy();
  raw.destroy();
}
