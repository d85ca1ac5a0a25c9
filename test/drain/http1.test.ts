import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http';
import { Duplex, PassThrough } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { drain } from '../../src/drain/drain.ts';
import { closeHeaders, decideHttp1 } from '../../src/drain/http1.ts';
import type { Draining, DrainProgress } from '../../src/drain/report.ts';
import { closeClients, connectTo, listening, promised, type RawClient, turn } from './raw-client.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const servers: Server[] = [];

afterEach(() => {
  closeClients();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(handler: Handler): Promise<Server> {
  const server = await listening(createServer(handler));
  servers.push(server);
  return server;
}

/** A connection that has had one response, and waits. */
async function idleClient(server: Server): Promise<RawClient> {
  const client = await connectTo(server);
  await client.get('/first').response();
  return client;
}

/** Until the drain tells what is wanted. */
function told(draining: Draining, wanted: (progress: DrainProgress) => boolean): Promise<DrainProgress> {
  return new Promise(done => draining.events.on('progress', progress => wanted(progress) && done(progress)));
}

const isFinishing = ({ phase }: DrainProgress) => phase === 'finishing';
const hello: Handler = (_, response) => void response.end('hello');
const says = (response: { header: string } | undefined) => /^connection: (.*)$/im.exec(response?.header ?? '')?.[1];
const QUICK = { idleGrace: 300, silentGrace: 100, clientFirst: 50, linger: 200 };

const facts = { use: 'idle', now: 1_000, since: 0, idleSince: 900, offerable: false, othersHold: false } as const;
const NEVER = Number.POSITIVE_INFINITY;

test.each([
  ['busy', { use: 'busy', offerable: true }, { act: 'wait', until: NEVER, holds: true }],
  ['idle and wanted elsewhere', { offerable: true }, { act: 'offer' }],
  ['idle within its grace', {}, { act: 'wait', until: 1_100, holds: true }],
  ['idle beyond its grace', { idleSince: 800 }, { act: 'leave', holds: true }],
  ['silent and wanted elsewhere', { use: 'silent', offerable: true }, { act: 'offer' }],
  ['silent and young', { use: 'silent', since: 950 }, { act: 'wait', until: 1_050, holds: true }],
  ['silent and old, with others', { use: 'silent', othersHold: true }, { act: 'wait', until: NEVER, holds: false }],
  ['silent and old, the last', { use: 'silent' }, { act: 'leave', holds: false }],
] as const)('a connection that is %s is decided on by the table', (_, given, decision) => {
  expect(decideHttp1({ ...facts, ...given }, { idleGrace: 200, silentGrace: 100 })).toEqual(decision);
});

const flat = ['A', '1', 'CONNECTION', 'keep-alive', 'Keep-Alive', 'timeout=5'];
const pairs = [
  ['A', '1'],
  ['Connection', 'x'],
];

test("a response's own timeout still fires", async () => {
  const fired = promised<void>();
  const server = await serve((_, response) => {
    response.setTimeout(400, () => {
      fired.resolve();
      response.end('late');
    });
    server.emit('waits');
  });
  const client = await connectTo(server);
  client.get('/');
  await once(server, 'waits');
  const draining = drain(server, QUICK);
  await fired.promise;
  expect((await client.response())?.body).toBe('late');
  await draining;
});

test.each([
  { form: 'no headers', given: undefined, expected: { Connection: 'close' } },
  { form: 'an object', given: { A: '1', connection: 'x' }, expected: { A: '1', Connection: 'close' } },
  { form: 'a flat list', given: flat, expected: ['A', '1', 'Connection', 'close'] },
  { form: 'a list of pairs', given: pairs, expected: [pairs[0], ['Connection', 'close']] },
])('$form of writeHead gets one Connection of ours', ({ given, expected }) => {
  expect(closeHeaders(given)).toEqual(expected);
});

test('a request on an idle connection is answered during the drain, with Connection: close', async () => {
  const server = await serve(hello);
  const idle = await idleClient(server);
  const draining = drain(server, { idleGrace: 10_000 });
  await told(draining, isFinishing);
  const answer = await idle.get('/second').response();
  expect(answer).toMatchObject({ status: 200, body: 'hello' });
  expect(says(answer)).toBe('close');
  idle.socket.end();
  expect(await draining).toMatchObject({ finished: 1, handedOff: 0, cut: [], closed: { http1: 1 } });
});

test('an idle connection is half-closed at the end of its grace, not reset', async () => {
  const server = await serve(hello);
  const idle = await idleClient(server);
  const before = performance.now();
  const draining = drain(server, QUICK);
  expect(await idle.ended).toBe('FIN');
  expect(performance.now() - before).toBeGreaterThan(250);
  expect(await draining).toMatchObject({ finished: 0, cut: [], closed: { http1: 1 } });
});

test("the server's own keep-alive timeout does not cut the grace short", async () => {
  const server = await serve(hello);
  server.keepAliveTimeout = 1;
  const idle = await idleClient(server);
  const before = performance.now();
  // Node's timer fires 1 s after the timeout that it announces.
  const draining = drain(server, { ...QUICK, idleGrace: 1_500 });
  expect(await idle.ended).toBe('FIN');
  expect(performance.now() - before).toBeGreaterThan(1_400);
  await draining;
});

test('the deadline ends the grace of idle connections', async () => {
  const server = await serve(hello);
  const idle = await idleClient(server);
  const report = await drain(server, { deadline: 200 });
  expect(await idle.ended).toBe('FIN');
  expect(report.durationMs).toBeLessThan(1_000);
  expect(report).toMatchObject({ cut: [], closed: { http1: 1 } });
});

test.each<[string, Handler]>([
  ['end()', hello],
  ['a writeHead object', (_, response) => void response.writeHead(200, { Connection: 'keep-alive' }).end('hello')],
  ['a writeHead list', (_, response) => void response.writeHead(200, ['Connection', 'keep-alive']).end('hello')],
  ['a reason', (_, response) => void response.writeHead(200, 'Fine', { 'Content-Length': 5 }).end('hello')],
  ['setHeader', (_, response) => void response.setHeader('Connection', 'keep-alive').end('hello')],
  [
    'setHeader and writeHead',
    (_, response) => {
      response.setHeader('Connection', 'keep-alive');
      response.writeHead(200, { 'Content-Length': '5' }).end('hello');
    },
  ],
  [
    'removeHeader',
    (_, response) => {
      response.removeHeader('connection');
      response.end('hello');
    },
  ],
])('a response in flight made with %s says Connection: close', async (_, handler) => {
  const begun = promised<() => void>();
  const server = await serve((request, response) => begun.resolve(() => handler(request, response)));
  const waiting = await connectTo(server);
  waiting.get('/');
  const answer = await begun.promise;
  const draining = drain(server);
  await told(draining, isFinishing);
  answer();
  const response = await waiting.response();
  expect(response).toMatchObject({ status: 200, body: 'hello' });
  expect(response?.header.match(/^connection: .*$/gim)).toEqual(['Connection: close']);
  waiting.socket.end();
  expect(await draining).toMatchObject({ finished: 1, cut: [], closed: { http1: 1 } });
});

test('a response that the application gives another prototype has the writeHead of that', async () => {
  const begun = promised<ServerResponse>();
  const server = await serve((_, response) => begun.resolve(response));
  const waiting = await connectTo(server);
  waiting.get('/');
  const response = await begun.promise;
  const draining = drain(server, QUICK);
  await told(draining, isFinishing);
  const writeHead = function (this: ServerResponse, status: number): ServerResponse {
    return ServerResponse.prototype.writeHead.call(this.setHeader('X-Own', 'yes'), status);
  };
  Object.setPrototypeOf(response, Object.create(ServerResponse.prototype, { writeHead: { value: writeHead } }));
  response.end('hello');
  expect((await waiting.response())?.header).toContain('X-Own: yes');
  await draining;
});

test('a stream that has begun is completed, and its connection, promised to be kept, is closed afterwards', async () => {
  const begun = promised<ServerResponse>();
  const server = await serve((_, response) => {
    response.write('one,');
    begun.resolve(response);
  });
  const streaming = await connectTo(server);
  streaming.get('/');
  const response = await begun.promise;
  await streaming.seen('one,');
  const draining = drain(server, QUICK);
  await told(draining, isFinishing);
  response.write('two,');
  response.end('three');
  expect((await streaming.response())?.body).toBe('one,two,three');
  expect(await streaming.ended).toBe('FIN');
  expect(await draining).toMatchObject({ finished: 1, cut: [] });
});

test('every request of a pipeline is answered, and only the last says close', async () => {
  const server = await serve((request, response) => void response.end(request.url));
  const piping = await idleClient(server);
  const draining = drain(server);
  await told(draining, isFinishing);
  piping.socket.cork();
  piping.get('/1').get('/2').get('/3').socket.uncork();
  const answers = [await piping.response(), await piping.response(), await piping.response()];
  expect(answers.map(answer => answer?.body)).toEqual(['/1', '/2', '/3']);
  expect(answers.map(says)).toEqual(['keep-alive', 'keep-alive', 'close']);
  piping.socket.end();
  expect(await draining).toMatchObject({ finished: 3, cut: [] });
});

test('a pipeline that was queued before the drain is answered to its end', async () => {
  const pending: ServerResponse[] = [];
  const all = promised<void>();
  const server = await serve((_, response) => {
    if (pending.push(response) === 3) all.resolve();
  });
  const piping = await connectTo(server);
  piping.get('/1').get('/2').get('/3');
  await all.promise;
  const draining = drain(server, QUICK);
  await told(draining, isFinishing);
  for (const response of pending) response.end('x');
  const answers = [await piping.response(), await piping.response(), await piping.response()];
  expect(answers.map(answer => answer?.body)).toEqual(['x', 'x', 'x']);
  expect(await piping.ended).toBe('FIN');
  expect(await draining).toMatchObject({ finished: 3, cut: [] });
});

test('input that nobody reads does not turn the end of a response into a reset', async () => {
  const body = 'x'.repeat(4_000_000);
  const server = await serve((_, response) => void response.end(body));
  const idle = await idleClient(server);
  const draining = drain(server, { clientFirst: 0 });
  await told(draining, isFinishing);
  // The upload goes on behind the answer, and nobody reads it.
  idle.send('POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 3000000\r\n\r\n').send('y'.repeat(2_000_000));
  const answer = await idle.response();
  expect(answer?.body.length).toBe(body.length);
  expect(await idle.ended).toBe('FIN');
  expect(await draining).toMatchObject({ cut: [] });
});

test('a silent connection does not hold the drain up, but is answered while it lasts', async () => {
  const held = promised<ServerResponse>();
  const server = await serve((request, response) => {
    if (request.url === '/slow') held.resolve(response);
    else response.end('hello');
  });
  const [silent, late, slow] = [await connectTo(server), await connectTo(server), await connectTo(server)];
  slow.get('/slow');
  const response = await held.promise;
  const draining = drain(server, QUICK);
  await told(draining, ({ phase, waitingFor }) => phase === 'finishing' && waitingFor === 1);
  expect(silent.end).toBeUndefined();
  expect(says(await late.get('/late').response())).toBe('close');
  late.socket.end();
  response.end('slow');
  expect((await slow.response())?.body).toBe('slow');
  slow.socket.end();
  const before = performance.now();
  expect(await silent.ended).toBe('FIN');
  expect(performance.now() - before).toBeLessThan(QUICK.idleGrace);
  expect(await draining).toMatchObject({ finished: 2, cut: [], closed: { http1: 3 } });
});

test('what waits in the accept queue is accepted and answered', async () => {
  const server = await serve(hello);
  const opening = Array.from({ length: 50 }, () => connectTo(server));
  const draining = drain(server);
  const opened = await Promise.all(opening);
  const answers = await Promise.all(opened.map(client => client.get('/').response()));
  expect(answers.map(answer => answer?.status)).toEqual(opened.map(() => 200));
  expect(server.listening).toBe(false);
  for (const client of opened) client.socket.end();
  expect(await draining).toMatchObject({ finished: 50, cut: [] });
});

test('Expect: 100-continue is answered as ever', async () => {
  const server = await serve((request, response) => {
    let length = 0;
    request.on('data', chunk => {
      length += chunk.length;
    });
    request.on('end', () => response.end(String(length)));
  });
  const idle = await idleClient(server);
  const draining = drain(server);
  await told(draining, isFinishing);
  idle.send('POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
  expect((await idle.response())?.status).toBe(100);
  const answer = await idle.send('12345').response();
  expect(answer).toMatchObject({ status: 200, body: '5' });
  expect(says(answer)).toBe('close');
  idle.socket.end();
  expect(await draining).toMatchObject({ finished: 1, cut: [] });
});

test('a request that is only half there outlives the grace of idle connections, and is answered', async () => {
  const server = await serve(hello);
  const [slow, other] = [await idleClient(server), await idleClient(server)];
  slow.send('GET /half HTT');
  await turn();
  const draining = drain(server, QUICK);
  expect(await other.ended).toBe('FIN');
  expect(slow.end).toBeUndefined();
  expect(await slow.send('P/1.1\r\nHost: test\r\n\r\n').response()).toMatchObject({ status: 200 });
  slow.socket.end();
  expect(await draining).toMatchObject({ finished: 1, cut: [] });
});

test('a slow reader gets all of it, however impatient the linger', async () => {
  const size = 12_000_000;
  const server = await serve((request, response) => void response.end('x'.repeat(request.url === '/big' ? size : 1)));
  const [slow, other] = [await idleClient(server), await idleClient(server)];
  const draining = drain(server, { ...QUICK, clientFirst: 0 });
  await told(draining, isFinishing);
  slow.get('/big');
  await slow.seen('x');
  slow.socket.pause();
  expect(await other.ended).toBe('FIN');
  await other.socket.destroy();
  await told(draining, ({ open }) => open.http1 === 1);
  slow.socket.resume();
  expect((await slow.response())?.body.length).toBe(size);
  expect(await slow.ended).toBe('FIN');
  expect(await draining).toMatchObject({ finished: 1, cut: [] });
});

test('what is in flight at the deadline is cut, and reported', async () => {
  const begun = promised<void>();
  const server = await serve((_, response) => {
    response.write('never ends');
    begun.resolve();
  });
  const stuck = await connectTo(server);
  stuck.get('/stuck');
  await begun.promise;
  const peer = { remoteAddress: '127.0.0.1', remotePort: stuck.socket.localPort };
  const report = await drain(server, { deadline: 150 });
  expect(report.durationMs).toBeLessThan(1_000);
  const doing = 'GET /stuck: response started';
  expect(report.cut).toEqual([{ protocol: 'http1', ...peer, doing, ageMs: expect.any(Number) }]);
  expect(report.closed.http1).toBe(0);
  await stuck.ended;
  expect(stuck.received).not.toContain('0\r\n\r\n');
});

test('a CONNECT tunnel and an unknown upgrade end when the application says so', async () => {
  const server = await serve(hello);
  const tunnel = (_: IncomingMessage, socket: Duplex) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    socket.on('data', chunk => socket.write(chunk));
  };
  server.on('connect', tunnel);
  server.on('upgrade', tunnel);
  const tunnels = [await connectTo(server), await connectTo(server)] as const;
  tunnels[0].send('CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n');
  tunnels[1].get('/', 'Connection: Upgrade\r\nUpgrade: other\r\n');
  for (const client of tunnels) await client.seen('200 OK');
  const onDrain = (socket: Duplex) => new Promise(done => socket.write('bye', done));
  const draining = drain(server, { ...QUICK, onDrain });
  for (const client of tunnels) {
    await client.seen('bye');
    expect(await client.ended).toBe('FIN');
  }
  expect(await draining).toMatchObject({ cut: [], closed: { upgraded: 2 } });
});

test('a connection that is no socket but any Duplex is drained too', async () => {
  const server = await serve(hello);
  const [toServer, toClient] = [new PassThrough(), new PassThrough()];
  server.emit('connection', Duplex.from({ readable: toServer, writable: toClient }));
  let received = '';
  toClient.setEncoding('latin1').on('data', chunk => {
    received += chunk;
  });
  const ended = once(toClient, 'end');
  toServer.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n');
  await once(toClient, 'data');
  const draining = drain(server, { ...QUICK, deadline: 2_000 });
  await ended;
  toServer.end();
  expect(received).toMatch(/hello/);
  expect(await draining).toMatchObject({ cut: [] });
});

test('the race: clients that send at any moment of a drain are answered or told before they send', async () => {
  const server = await serve((request, response) => void request.resume().on('end', () => response.end('hello')));
  const clients = await Promise.all(Array.from({ length: 100 }, () => idleClient(server)));
  let answered = 0;
  const lost: string[] = [];
  const post = `POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n`;
  const working = clients.map(async client => {
    for (;;) {
      // In two pieces, with up to 20 ms before, and between them.
      await pause(Math.random() * 20);
      client.send(post);
      if (Math.random() < 0.5) await pause(Math.random() * 20);
      const response = await client.send('12345').response();
      if (response?.status === 200) answered++;
      else lost.push(`${client.end} after ${answered} answers`);
      if (!response || says(response) === 'close') break;
    }
    client.socket.end();
  });
  const draining = drain(server, { delay: 100 });
  await Promise.all(working);
  expect(lost).toEqual([]);
  expect(answered).toBeGreaterThanOrEqual(100);
  expect(await draining).toMatchObject({ cut: [], closed: { http1: 100 } });
});
