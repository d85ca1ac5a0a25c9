import type { Socket } from 'node:net';

/** How patient a half-close is, in milliseconds. */
export interface Patience {
  /** How long the peer may close first, so that TIME_WAIT stays on its side. */
  clientFirst: number;
  /** How long to read on, once all is written, without a byte coming. */
  linger: number;
}

/**
 * Says goodbye on a socket without losing what was sent before: FIN (after close_notify, over TLS) behind everything
 * that is written, then reads to the end. Closing with unread input would send RST, and the peer's kernel would throw
 * away the answer that its program has not read yet (RFC 9112 section 9.6; RFC 1122 section 4.2.2.13).
 *
 * A peer that neither closes nor sends is let go after `linger`: the kernel goes on by itself, and nothing unread is left.
 *
 * @param input `discard` drops what still comes; `application` leaves it to whoever reads now, and drops it only if
 *   they do not
 */
export function halfClose(socket: Socket, patience: Patience, input: 'discard' | 'application'): void {
  if (socket.destroyed) return;
  // Where it never had one, setTimeout() would give it a property (see shapes.ts).
  if (socket.timeout) socket.setTimeout(0);
  socket.on('error', ignore);
  if (input === 'discard') discard(socket);
  else if (socket.readableFlowing === null) socket.resume();
  const end = () => {
    clearTimeout(first);
    socket.end();
    if (socket.writableFinished) lingerOn(socket, patience.linger);
    else socket.once('finish', () => lingerOn(socket, patience.linger));
  };
  const first = setTimeout(end, socket.writableEnded ? 0 : patience.clientFirst);
  socket.once('end', end);
  socket.once('close', () => clearTimeout(first));
}

/** An error after the goodbye is the peer's way to close. */
function ignore(): void {}

/** Reads on and drops it. Without its 'data' listeners an HTTP parser is out of the way too: Node unhooks it itself. */
function discard(socket: Socket): void {
  socket.removeAllListeners('data');
  socket.removeAllListeners('readable');
  socket.on('data', ignore);
  socket.resume();
}

/** Lets the socket go when it was silent for a whole `linger`; a reader that stopped reading is replaced first. */
export function lingerOn(socket: Socket, linger: number): void {
  let seen = socket.bytesRead;
  let discarding = false;
  const timer = setInterval(() => {
    if (socket.bytesRead !== seen) seen = socket.bytesRead;
    else if (socket.readableFlowing !== true && !discarding) {
      discarding = true;
      discard(socket);
    } else socket.destroy();
  }, linger);
  socket.once('close', () => clearInterval(timer));
}
