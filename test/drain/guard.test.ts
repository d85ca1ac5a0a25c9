import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { drain } from '../../src/drain/drain.ts';
import { shieldFromClose } from '../../src/drain/shield.ts';
import { CERTIFICATE } from './certificate.ts';
import { closeClients, connectOverTls, connectTo, listening, promised, type RawClient, turn } from './raw-client.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const servers: Server[] = [];
const undo: (() => void)[] = [];

afterEach(() => {
  closeClients();
  for (const remove of undo.splice(0)) remove();
  for (const server of servers.splice(0)) server.close();
});

async function serve(handler: Handler = hello): Promise<Server> {
  const server = await listening(createServer(handler));
  servers.push(server);
  return server;
}

/** From now on, as from the stop signal on. */
function hold(server: Server): () => void {
  const remove = shieldFromClose(server, () => undefined);
  undo.push(remove);
  return remove;
}

const hello: Handler = (_, response) => void response.end('hello');
const QUICK = { idleGrace: 300, silentGrace: 100, clientFirst: 50, linger: 200 };

const WAYS: [string, (server: Server, sockets: Socket[]) => void][] = [
  ['destroys each', (_, sockets) => sockets.forEach(socket => void socket.destroy())],
  ['ends each', (_, sockets) => sockets.forEach(socket => void socket.end())],
  ['ends each, and destroys it soon', (_, sockets) => sockets.forEach(endAndDestroy)],
  ['destroys all', server => server.closeAllConnections()],
];

function endAndDestroy(socket: Socket): void {
  socket.end();
  setImmediate(() => socket.destroy());
}

async function three(server: Server): Promise<{ idle: RawClient; silent: RawClient; busy: RawClient }> {
  const [idle, silent, busy] = [await connectTo(server), await connectTo(server), await connectTo(server)];
  await idle.get('/').response();
  busy.get('/wait');
  await once(server, 'waits');
  return { idle, silent, busy };
}

test.each(WAYS)('while a drain runs, a program that %s loses nobody', async (_, act) => {
  const sockets: Socket[] = [];
  const server = await serve((request, response) => {
    if (request.url !== '/wait') return void response.end('hello');
    server.once('go', () => response.end('late'));
    server.emit('waits');
  });
  server.on('connection', socket => sockets.push(socket));
  const { idle, silent, busy } = await three(server);
  const draining = drain(server, QUICK);
  act(server, sockets);
  await turn();
  expect((await idle.get('/').response())?.body).toBe('hello');
  expect((await silent.get('/').response())?.body).toBe('hello');
  server.emit('go');
  expect((await busy.response())?.body).toBe('late');
  expect(await draining).toMatchObject({ cut: [], closed: { http1: 3 } });
  expect(await Promise.all([idle.ended, silent.ended, busy.ended])).toEqual(['FIN', 'FIN', 'FIN']);
});

test('nor does one that destroys what it accepts then', async () => {
  const server = await serve();
  let isStopping = false;
  server.on('connection', socket => isStopping && socket.destroy());
  hold(server);
  isStopping = true;
  const client = await connectTo(server);
  expect((await client.get('/').response())?.body).toBe('hello');
});

test('TLS connections are held as well', async () => {
  const server = await listening(createTlsServer(CERTIFICATE, hello));
  servers.push(server);
  const sockets: Socket[] = [];
  server.on('secureConnection', socket => sockets.push(socket));
  const [old, late] = [await connectOverTls(server), await connectOverTls(server)];
  await old.get('/').response();
  const draining = drain(server, QUICK);
  for (const socket of sockets) socket.destroy();
  expect((await old.get('/').response())?.body).toBe('hello');
  expect((await late.get('/').response())?.body).toBe('hello');
  expect(await draining).toMatchObject({ cut: [], closed: { http1: 2, overTls: 2 } });
});

test.each<[string, Handler]>([
  ['an error', (_, response) => void response.socket?.destroy(new Error('no'))],
  ['a last word', (_, response) => void response.socket?.end('HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n')],
  ['the end of its response', (_, response) => void response.destroy()],
  ['the end of its request', request => void request.destroy()],
])('a connection ends that the program ends with %s', async (_, handler) => {
  const server = await serve(handler);
  hold(server);
  const client = await connectTo(server);
  client.send('POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345');
  await client.ended;
});

test.each([
  ['destroys it', (socket: Socket) => void socket.destroy()],
  ['says so', (socket: Socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ['does nothing more than end it', (socket: Socket) => void socket.end()],
])('so does one that sent no HTTP, where the program %s', async (_, act) => {
  const server = await serve();
  server.on('clientError', (_error, socket) => act(socket as Socket));
  hold(server);
  const client = await connectTo(server);
  client.send('no HTTP\r\n\r\n');
  await client.ended;
});

test('so does one that its client has ended, and one whose response says so', async () => {
  const server = await serve();
  hold(server);
  const [leaving, old] = [await connectTo(server), await connectTo(server)];
  leaving.socket.end();
  // The end of its body is the end of the connection.
  old.send('GET / HTTP/1.0\r\n\r\n');
  expect(await Promise.all([leaving.ended, old.ended])).toEqual(['FIN', 'FIN']);
  expect(old.received).toMatch(/hello$/);
});

test('what was held ends as the program wanted when nobody holds it any more', async () => {
  const server = await serve();
  const accepted = promised<Socket>();
  server.once('connection', accepted.resolve);
  const client = await connectTo(server);
  await client.get('/').response();
  const [first, second] = [hold(server), hold(server)];
  const socket = await accepted.promise;
  const destroyed = promised<string>();
  expect(socket.end(() => destroyed.resolve('called back'))).toBe(socket);
  first();
  expect(socket.writableEnded).toBe(false);
  second();
  expect(socket.writableEnded).toBe(true);
  expect(await client.ended).toBe('FIN');
  expect(await destroyed.promise).toBe('called back');
});

test('a socket whose methods the program replaced stays as it is', async () => {
  const server = await serve();
  const own = promised<string>();
  server.once('connection', socket => {
    const { destroy } = socket;
    socket.destroy = error => {
      own.resolve('its own');
      return Reflect.apply(destroy, socket, [error]);
    };
  });
  const accepted = promised<Socket>();
  server.once('connection', accepted.resolve);
  await (await connectTo(server)).get('/').response();
  hold(server);
  (await accepted.promise).destroy();
  expect(await own.promise).toBe('its own');
});
