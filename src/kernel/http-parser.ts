import type { Socket } from 'node:net';

/*
 * The parser that Node keeps on an HTTP/1.1 connection, and does not document. Tried on Node 20.20, 22.23, 24.21 and 26.10.
 */

interface HttpParser {
  [event: number]: unknown;
  onIncoming: ((...args: unknown[]) => unknown) | null;
  execute(bytes: Buffer, offset: number, length: number): unknown;
}

function parserOf(socket: Socket): HttpParser | undefined {
  const { parser } = socket as unknown as { parser?: unknown };
  const usable = typeof parser === 'object' && parser !== null && 'execute' in parser && 'onIncoming' in parser;
  return usable ? (parser as HttpParser) : undefined;
}

const EVENTS = ['kOnMessageBegin', 'kOnHeaders', 'kOnHeadersComplete', 'kOnBody', 'kOnMessageComplete', 'kOnExecute'];
let eventKeys: number[] | undefined;
const callbacks: unknown[] = [];
const ANY_REQUEST = Buffer.from('GET / HTTP/1.1\r\nHost: relisten\r\n\r\n');

/**
 * Makes the parser of a connection that was just injected believe that a request has passed, as it has in another
 * process: the connection is then idle in the server's own list, and headersTimeout does not end it with a 408 that the
 * client would take for the answer to its next request. The parser reads a request while none of its callbacks is there.
 */
export function passRequest(socket: Socket): void {
  const parser = parserOf(socket);
  if (!parser) return;
  eventKeys ??= EVENTS.map(name => Reflect.get(parser.constructor, name)).filter(key => typeof key === 'number');
  for (const key of eventKeys) {
    callbacks[key] = parser[key];
    parser[key] = undefined;
  }
  try {
    parser.execute(ANY_REQUEST, 0, ANY_REQUEST.length);
  } finally {
    for (const key of eventKeys) parser[key] = callbacks[key];
  }
}

/**
 * Runs `around` in place of every request's way from the parser into the server; it must call `proceed`.
 *
 * @returns lets the requests go their own way again
 */
export function aroundRequests(socket: Socket, around: (proceed: () => unknown) => unknown): () => void {
  const parser = parserOf(socket);
  const original = parser?.onIncoming;
  if (!parser || !original) return () => undefined;
  const through = (...args: unknown[]) => around(() => Reflect.apply(original, parser, args));
  parser.onIncoming = through;
  return () => {
    if (parser.onIncoming === through) parser.onIncoming = original;
  };
}
