import { once } from 'node:events';
import {
  type ClientHttp2Session,
  connect,
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type ServerHttp2Stream,
} from 'node:http2';
import { afterEach, expect, test } from 'vitest';
import { drain } from '../../src/drain/drain.ts';
import { CERTIFICATE } from './certificate.ts';
import { closeClients, connectOverTls, connectTo, listening, portOf, promised, type RawClient } from './raw-client.ts';

const sessions: ClientHttp2Session[] = [];

afterEach(() => {
  closeClients();
  for (const session of sessions.splice(0)) session.destroy();
});

async function open(server: Http2Server | Http2SecureServer): Promise<ClientHttp2Session> {
  const scheme = 'setSecureContext' in server ? 'https' : 'http';
  const session = connect(`${scheme}://127.0.0.1:${portOf(server)}`, { rejectUnauthorized: false });
  sessions.push(session);
  await once(session, 'connect');
  return session;
}

async function get(session: ClientHttp2Session, path: string): Promise<string> {
  const stream = session.request({ ':path': path });
  let body = '';
  stream.setEncoding('utf8').on('data', chunk => {
    body += chunk;
  });
  await once(stream, 'close');
  return stream.rstCode === 0 ? body : `reset ${stream.rstCode}`;
}

type Kind = 'http2' | 'http2 over TLS';
const KINDS: Kind[] = ['http2', 'http2 over TLS'];

function create(kind: Kind, onStream: (stream: ServerHttp2Stream, path: string) => void) {
  const server = kind === 'http2' ? createServer() : createSecureServer({ ...CERTIFICATE, allowHTTP1: true });
  server.on('stream', (stream, headers) => onStream(stream, String(headers[':path'])));
  return listening(server);
}

const HIGHEST = [0, 2 ** 31 - 1];

test.each(KINDS)('%s: says GOAWAY with the highest id, then the last one, and streams finish', async kind => {
  const held = promised<ServerHttp2Stream>();
  const server = await create(kind, (stream, path) => {
    stream.respond({ ':status': 200 });
    if (path === '/slow') held.resolve(stream);
    else stream.end('quick');
  });
  const session = await open(server);
  const goaways: [code: number, last: number][] = [];
  const lastSaid = promised<void>();
  session.on('goaway', (code, last) => {
    goaways.push([code, last]);
    if (last === 3) lastSaid.resolve();
  });
  expect(await get(session, '/')).toBe('quick');
  const slow = get(session, '/slow');
  const stream = await held.promise;
  const draining = drain(server, { clientFirst: 50 });
  await lastSaid.promise;
  // Over TLS nobody but nghttp2 may write, and it knows only the last one.
  expect(goaways).toEqual(kind === 'http2' ? [HIGHEST, [0, 3]] : [[0, 3]]);
  stream.end('slow');
  expect(await slow).toBe('slow');
  const report = await draining;
  expect(report).toMatchObject({ finished: 1, cut: [], closed: { http2: 1, overTls: kind === 'http2' ? 0 : 1 } });
});

test.each(KINDS)('%s: a session without streams is closed by its client, which keeps TIME_WAIT', async kind => {
  const server = await create(kind, stream => stream.respond({ ':status': 200 }, { endStream: true }));
  const session = await open(server);
  await get(session, '/');
  const closed = once(session, 'close');
  const report = await drain(server, { clientFirst: 2_000 });
  await closed;
  expect(report.durationMs).toBeLessThan(1_500);
  expect(report).toMatchObject({ cut: [], closed: { http2: 1 } });
  if (process.platform === 'linux') expect(report.timeWait).toBe(0);
});

test('a request on its way to an idle session when GOAWAY is said is answered', async () => {
  const server = await create('http2', answerEmpty);
  const client = await connectTo(server);
  client.send(PREFACE + get1(1));
  await frameSeen(client, HEADERS, 1);
  const draining = drain(server, { clientFirst: 50, linger: 100 });
  // The client has the GOAWAY, but its next request left before, and it does not answer the PING.
  expect((await frameSeen(client, GOAWAY, 0)).payload.slice(0, 4)).toBe('\x7f\xff\xff\xff');
  client.send(get1(3));
  await frameSeen(client, HEADERS, 3);
  expect(await draining).toMatchObject({ finished: 1, cut: [], closed: { http2: 1 } });
  expect(await client.ended).toBe('FIN');
});

test('over TLS such a request is told to have been passed over, so that it may be sent again', async () => {
  const server = await create('http2 over TLS', answerEmpty);
  const client = await connectOverTls(server, ['h2']);
  client.send(PREFACE + get1(1));
  await frameSeen(client, HEADERS, 1);
  const draining = drain(server, { clientFirst: 50, linger: 100 });
  expect((await frameSeen(client, GOAWAY, 0)).payload.slice(0, 4)).toBe('\0\0\0\x01');
  client.send(get1(3));
  expect(await draining).toMatchObject({ finished: 0, cut: [], closed: { http2: 1 } });
  expect(await client.ended).toBe('FIN');
});

function answerEmpty(stream: ServerHttp2Stream): void {
  stream.respond({ ':status': 204 });
  stream.end();
}

const [HEADERS, SETTINGS, GOAWAY] = [1, 4, 7];

/** RFC 9113 section 4.1. */
function frame(type: number, flags: number, stream: number, payload: string): string {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return head.toString('latin1') + payload;
}

/** GET / of `test` from HPACK's static table (RFC 7541 appendix A), END_STREAM and END_HEADERS. */
function get1(stream: number): string {
  return frame(HEADERS, 0x5, stream, '\x82\x84\x86\x01\x04test');
}

const PREFACE = `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${frame(SETTINGS, 0, 0, '')}`;

async function frameSeen(client: RawClient, type: number, stream: number): Promise<{ payload: string }> {
  for (;;) {
    const bytes = Buffer.from(client.received, 'latin1');
    for (let at = 0; at + 9 <= bytes.length; ) {
      const end = at + 9 + bytes.readUIntBE(at, 3);
      if (bytes[at + 3] === type && bytes.readUInt32BE(at + 5) === stream && end <= bytes.length) {
        return { payload: bytes.toString('latin1', at + 9, end) };
      }
      at = end;
    }
    if (client.end !== undefined) throw new Error(`The connection ended: ${client.end}`);
    await once(client.socket, 'data');
  }
}

test('a peer that is connected but says nothing does not hold an HTTP/2 server up', async () => {
  const server = await create('http2', () => undefined);
  const silent = await connectTo(server);
  const report = await drain(server, { clientFirst: 50, linger: 100 });
  expect(await silent.ended).toBe('FIN');
  expect(report).toMatchObject({ cut: [], closed: { http2: 1 } });
  expect(report.durationMs).toBeLessThan(3_000);
});

test('an event stream over HTTP/2 is ended, other streams are waited for until the deadline', async () => {
  const both = promised<void>();
  let begun = 0;
  const server = await create('http2', (stream, path) => {
    stream.on('error', () => undefined);
    stream.respond({ ':status': 200, 'content-type': path === '/events' ? 'text/event-stream' : 'text/plain' });
    stream.write('data: 1\n\n');
    if (++begun === 2) both.resolve();
  });
  const session = await open(server);
  session.on('error', () => undefined);
  const events = get(session, '/events');
  const endless = session.request({ ':path': '/endless' });
  endless.resume().on('error', () => undefined);
  await both.promise;
  const draining = drain(server, { deadline: 600 });
  expect(await events).toBe('data: 1\n\n');
  const report = await draining;
  expect(report.cut).toMatchObject([{ protocol: 'http2', doing: '1 stream open' }]);
  expect(report).toMatchObject({ finished: 1, closed: { http2: 0 } });
});

test('HTTP/1.1 on an HTTP/2 server is drained as HTTP/1.1', async () => {
  const server = createSecureServer({ ...CERTIFICATE, allowHTTP1: true }, (_, response) => void response.end('hello'));
  await listening(server);
  const client = await connectOverTls(server, ['http/1.1']);
  await client.get('/').response();
  const draining = drain(server);
  draining.events.on('progress', ({ phase }) => {
    if (phase === 'finishing') client.get('/again');
  });
  const answer = await client.response();
  expect(answer?.header).toMatch(/^connection: close$/im);
  client.socket.end();
  expect(await draining).toMatchObject({ finished: 1, cut: [], closed: { http1: 1, overTls: 1 } });
});

// Its GOAWAY has a last id by then, and none behind it may have a higher one (RFC 9113 section 6.8).
test.each(KINDS)('%s: a session that the program closes itself keeps its streams', async kind => {
  const held = promised<ServerHttp2Stream>();
  const server = await create(kind, stream => {
    stream.respond({ ':status': 200 });
    held.resolve(stream);
  });
  const session = await open(server);
  const failed: unknown[] = [];
  session.on('error', error => failed.push(error));
  const slow = get(session, '/slow');
  const stream = await held.promise;
  stream.session?.close();
  const draining = drain(server, { deadline: 5_000, clientFirst: 50 });
  await new Promise<void>(done => draining.events.on('progress', ({ phase }) => phase === 'finishing' && done()));
  setImmediate(() => stream.end('whole'));
  expect(await slow).toBe('whole');
  expect(await draining).toMatchObject({ cut: [] });
  expect(failed).toEqual([]);
});
