import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { openStreams } from '../kernel/handle.ts';
import { lingerOn, type Patience } from './half-close.ts';

/** RFC 9113 section 7. */
const NO_ERROR = 0;
/** "Go away, but whatever you already sent still counts" (RFC 9113 section 6.8). */
const HIGHEST_STREAM = 2 ** 31 - 1;
/** How long the answer to our PING may take. */
const PING_MS = 1_000;
/** setTimeout's limit; the drain's deadline comes first. */
const LONGEST = 2 ** 31 - 1;

/**
 * Ends a session as RFC 9113 section 6.8 wants it: GOAWAY with the highest id, so that no stream in flight is refused;
 * a PING, whose answer says that the peer has seen it; GOAWAY with the last id that we took; the streams finish; the
 * client may close first; then we do.
 */
export async function closeSession(session: ServerHttp2Session, socket: Socket, patience: Patience): Promise<void> {
  if (session.destroyed) return;
  session.goaway(NO_ERROR, HIGHEST_STREAM);
  await answerToPing(session);
  if (!session.destroyed) session.goaway(NO_ERROR);
  await streamsGone(session);
  await goneWithin(socket, patience.clientFirst);
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
