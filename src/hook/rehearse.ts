import { createServer } from 'node:http';
import { Duplex } from 'node:stream';
import { settingsOf } from '../drain/options.ts';
import { Rounds } from '../drain/rounds.ts';
import { trackConnections } from '../drain/track.ts';
import { decode, encode, MAX_MESSAGE_BYTES } from '../handoff/protocol.ts';
import { close } from '../kernel/fd.ts';
import { finishTicks } from '../kernel/handle.ts';
import { receiveFds, sendFds, seqpacketPair } from '../kernel/scm-rights.ts';

/*
 * What a process does for the first time takes several times as long as the second time: V8 compiles a function when it is
 * called. A process that only waits does it ahead, so that its first clients do not wait for it: the first request of a
 * hello world took 6.2 ms of its client's time, and 1.7 ms with this.
 */

const CONNECTIONS = 2;
const settings = settingsOf({ shared: true, handOff: () => true });
const BODY = 'name=value&'.repeat(1_000);
const REQUESTS = [
  'GET /?a=b HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n',
  `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
];

/** Goes through what a server does, without a network; it is all over when this returns. */
export function rehearse(): void {
  // What Node would tell then is not of the program's.
  if (process.env.NODE_DEBUG) return;
  for (let connection = 0; connection < CONNECTIONS; connection++) answer();
  exchange();
}

/** Answers requests that nobody has sent, with a server that does not listen; then the server's drain begins. */
function answer(): void {
  const server = createServer((request, response) => {
    request.resume();
    response.setHeader('Content-Type', 'text/plain');
    response.end('hello\n');
  });
  trackConnections(server);
  // Any Duplex will do (Event: 'connection' of http.Server).
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  server.emit('connection', socket);
  for (const request of REQUESTS) {
    socket.emit('data', Buffer.from(request));
    finishTicks();
  }
  const rounds = new Rounds([server], settings, 0);
  rounds.watch();
  rounds.begin();
  socket.destroy();
  finishTicks();
}

/** Hands a descriptor from one hand to the other. */
function exchange(): void {
  const [giver, taker] = seqpacketPair();
  const given = { to: '127.0.0.1:80', protocol: 'http1', used: true, timeoutMs: 1 } as const;
  sendFds(giver, encode({ type: 'give', connections: [given] }), [giver]);
  const received = receiveFds(taker, MAX_MESSAGE_BYTES);
  if (typeof received === 'object') {
    decode(received.payload);
    for (const fd of received.fds) close(fd);
  }
  sendFds(taker, encode({ type: 'taken', refused: [], room: 1 }));
  close(giver);
  close(taker);
}
