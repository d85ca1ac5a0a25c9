import { once } from 'node:events';
import { createServer as createHttp, type ServerResponse } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2, createSecureServer } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { createServer as createNet, type Server, type Socket } from 'node:net';
import { createServer as createTls } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import {
  acceptedBy,
  acceptedSockets,
  closeListener,
  currentResponse,
  hasHttp1Parser,
  http1Sockets,
  http2SessionOn,
  idleHttp1Sockets,
  isLatestResponse,
  isQuiet,
  openStreams,
  rawSocketUnder,
  speaksHttp1,
  stopConnectionChecks,
  tlsSocketOver,
  wireHeader,
} from '../../src/kernel/handle.ts';
import { CERTIFICATE } from '../drain/certificate.ts';
import { closeClients, connectOverTls, connectTo, listening, portOf, promised, turn } from '../drain/raw-client.ts';

/*
 * What Node does not document, on the very Node that runs this: a version that changes it fails here first.
 */

const open: Server[] = [];

afterEach(() => {
  closeClients();
  for (const server of open.splice(0)) {
    for (const socket of acceptedSockets(new Set([server]))) socket.destroy();
    closeListener(server);
  }
});

async function serve<T extends Server>(server: T): Promise<T> {
  open.push(server);
  return listening(server);
}

const hello = (_: unknown, response: ServerResponse) => void response.end('hello');

test('closeListener closes the listener alone: idle and silent connections stay, and are answered', async () => {
  const server = await serve(createHttp(hello));
  const [idle, silent] = [await connectTo(server), await connectTo(server)];
  await idle.get('/').response();
  closeListener(server);
  expect(server.listening).toBe(false);
  await turn();
  expect(await idle.get('/').response()).toMatchObject({ body: 'hello' });
  expect(await silent.get('/').response()).toMatchObject({ body: 'hello' });
  const closed = once(server, 'close');
  for (const client of [idle, silent]) client.socket.end();
  await closed;
  stopConnectionChecks(server);
});

test('http.Server.close, in contrast, destroys idle connections at once', async () => {
  const server = await serve(createHttp(hello));
  const idle = await connectTo(server);
  await idle.get('/').response();
  server.close();
  expect(await idle.ended).toBe('FIN');
});

test('a connection is idle only between two requests', async () => {
  const begun = promised<ServerResponse>();
  const server = await serve(createHttp((_, response) => begun.resolve(response)));
  const client = await connectTo(server);
  const provably = (socket: Socket) => isQuiet(socket) && socket.bytesRead > 0;
  const idle = () => [...idleHttp1Sockets(server)].filter(provably).length;
  expect(idle(), 'silent').toBe(0);
  client.send('GET / HT');
  await turn();
  expect(idle(), 'in the middle of a request').toBe(0);
  client.send('TP/1.1\r\nHost: test\r\n\r\n');
  const response = await begun.promise;
  expect(idle(), 'waiting for the response').toBe(0);
  const [socket] = http1Sockets(server);
  expect(socket && currentResponse(socket)).toBe(response);
  response.end('x');
  await client.response();
  expect(idle(), 'between two requests').toBe(1);
  expect(wireHeader(response)).toMatch(/^HTTP\/1.1 200 OK\r\n/);
});

test('the newest response of a pipeline is known', async () => {
  const responses: ServerResponse[] = [];
  const all = promised<void>();
  const server = await serve(createHttp((_, response) => responses.push(response) === 2 && all.resolve()));
  const client = await connectTo(server);
  client.send('GET /1 HTTP/1.1\r\nHost: test\r\n\r\nGET /2 HTTP/1.1\r\nHost: test\r\n\r\n');
  await all.promise;
  expect(responses.map(isLatestResponse)).toEqual([false, true]);
});

test('an upgraded socket has no parser any more', async () => {
  const server = await serve(createHttp(hello));
  const upgraded = once(server, 'upgrade');
  const client = await connectTo(server);
  client.get('/', 'Connection: Upgrade\r\nUpgrade: x\r\n');
  const [, socket] = await upgraded;
  expect(hasHttp1Parser(socket)).toBe(false);
  expect(http1Sockets(server)).toEqual([]);
  expect(acceptedSockets(new Set([server]))).toEqual([socket]);
});

test.each<[string, () => Server, boolean]>([
  ['net', () => createNet(), false],
  ['tls', () => createTls(CERTIFICATE), false],
  ['http', () => createHttp(), true],
  ['https', () => createHttps(CERTIFICATE), true],
  ['http2', () => createHttp2(), false],
  ['http2 over TLS', () => createSecureServer(CERTIFICATE), false],
  ['http2 over TLS with HTTP/1.1', () => createSecureServer({ ...CERTIFICATE, allowHTTP1: true }), true],
])('a server of %s is found to speak HTTP/1.1 or not, and its sockets are found', async (_, create, expected) => {
  const server = await serve(create());
  expect(speaksHttp1(server)).toBe(expected);
  const [[raw]] = await Promise.all([once(server, 'connection'), connectTo(server)]);
  expect(acceptedSockets(new Set([server]))).toEqual([raw]);
  expect(acceptedBy(raw)).toBe(server);
});

test('the TLS socket over a raw one is found, and destroys nothing', async () => {
  const server = await serve(createTls(CERTIFICATE, socket => void socket.on('data', chunk => socket.write(chunk))));
  const secured = once(server, 'secureConnection') as Promise<[Socket]>;
  const client = await connectOverTls(server);
  const [socket] = await secured;
  const raw = rawSocketUnder(socket);
  expect(raw && tlsSocketOver(raw)).toBe(socket);
  expect(socket.destroyed).toBe(false);
  expect(Object.hasOwn(Object.getPrototypeOf(socket), 'destroy')).toBe(false);
  await client.send('still there').seen('still there');
});

test('the HTTP/2 session on a socket is found, with its open streams', async () => {
  const server = await serve(createHttp2());
  const streamed = once(server, 'stream');
  const client = connectHttp2(`http://127.0.0.1:${portOf(server)}`);
  const request = client.request();
  request.resume();
  const [stream] = await streamed;
  const [socket] = acceptedSockets(new Set([server]));
  const session = socket && http2SessionOn(socket);
  expect(session).toBe(stream.session);
  expect(session && openStreams(session)).toEqual([stream]);
  stream.respond();
  stream.end();
  await once(request, 'close');
  client.destroy();
});
