import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { openStreams, readOn } from '../kernel/handle.ts';
import { lingerOn, type Patience } from './half-close.ts';

/** "Go away, but whatever you have sent still counts": type GOAWAY, stream 0, highest id, NO_ERROR (RFC 9113 section 6.8). */
const SHUTDOWN_NOTICE = Buffer.from('0000080700000000007fffffff00000000', 'hex');
/** How long the answer to our PING may take. */
const PING_MS = 1_000;
/** The answer overtakes what the peer had queued before it (nghttp2 sends PING first): that comes within this time. */
const SETTLE_MS = 50;
const READ_ON_MS = 10;
/** setTimeout's limit; the drain's deadline comes first. */
const LONGEST = 2 ** 31 - 1;

/**
 * Ends a session as RFC 9113 section 6.8 wants it: GOAWAY with the highest id, so that no stream in flight is refused;
 * a PING, whose answer says that the peer has seen it; GOAWAY with the last id that we took; the streams finish; the
 * client may close first; then we do.
 *
 * Node cannot say the first: its `session.goaway(0, 2 ** 31 - 1)` makes nghttp2 ignore every new stream from then on,
 * which the peer then waits for in vain (nghttp2_submit_shutdown_notice(3) would not, but Node does not bind it). So the
 * frame is written past the session, onto the socket, where it always falls between two frames, since the session
 * writes whole frames at once. Over TLS that is not to be done: a second writer aborts the process (TLSWrap's
 * `CHECK(!current_write_)`). There the last id is said at once, which tells the client that what it sent behind it was
 * not processed and may be sent again, a POST too. So it is with a session that the program has closed: that has said its
 * last id, and a higher one behind it would be an error of ours.
 */
export async function closeSession(session: ServerHttp2Session, socket: Socket, patience: Patience): Promise<void> {
  if (session.destroyed) return;
  if (!session.encrypted && !session.closed) {
    socket.write(SHUTDOWN_NOTICE);
    await answerToPing(session);
    await goneWithin(socket, SETTLE_MS);
  }
  const reading = setInterval(() => openStreams(session).length === 0 && readOn(socket), READ_ON_MS);
  socket.once('close', () => clearInterval(reading));
  if (!session.destroyed && !session.closed) session.goaway();
  await streamsGone(session);
  await goneWithin(socket, patience.clientFirst);
  clearInterval(reading);
  if (socket.destroyed) return;
  // Node writes what is pending, ends the socket and reads on, without an end: that is ours to set.
  socket.once('finish', () => lingerOn(socket, patience.linger));
  session.close();
}

function answerToPing(session: ServerHttp2Session): Promise<void> {
  return new Promise(done => {
    const answered = () => {
      clearTimeout(late);
      done();
    };
    const late = setTimeout(answered, PING_MS);
    session.once('close', answered);
    if (!session.ping(answered)) answered();
  });
}

async function streamsGone(session: ServerHttp2Session): Promise<void> {
  for (let [stream] = openStreams(session); stream; [stream] = openStreams(session)) {
    // The session forgets a stream a moment after its 'close'.
    await goneWithin(stream, stream.destroyed ? 1 : LONGEST);
  }
}

/** Waits for its 'close'. An error that ends it is followed by one. */
function goneWithin(emitter: Socket | ServerHttp2Stream, ms: number): Promise<void> {
  return new Promise(done => {
    if (emitter.destroyed && ms > 1) return done();
    const over = () => {
      clearTimeout(late);
      emitter.off('close', over);
      done();
    };
    const late = setTimeout(over, ms);
    emitter.once('close', over);
  });
}

/** A stream that only ends when somebody ends it: server-sent events over HTTP/2. */
export function isEventStream(stream: ServerHttp2Stream): boolean {
  return String(stream.sentHeaders?.['content-type'] ?? '').startsWith('text/event-stream');
}
