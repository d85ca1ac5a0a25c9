import { once } from 'node:events';
import { createServer as createHttp, type Server as HttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { drain } from '../../src/drain/drain.ts';
import type { DrainOptions } from '../../src/drain/options.ts';
import type { DrainPhase, DrainProgress } from '../../src/drain/report.ts';
import { closeClients, connectTo, listening, portOf, promised, type RawClient } from './raw-client.ts';

const servers: Server[] = [];

afterEach(() => {
  closeClients();
  for (const server of servers.splice(0)) server.close();
});

async function serve(handler = (url: string) => url): Promise<HttpServer> {
  const server = await listening(createHttp((request, response) => void response.end(handler(request.url ?? ''))));
  servers.push(server);
  return server;
}

async function idleClient(server: Server): Promise<RawClient> {
  const client = await connectTo(server);
  await client.get('/first').response();
  return client;
}

const QUICK = { idleGrace: 200, silentGrace: 100, clientFirst: 50, linger: 200 };

test('phases come in order, by callback and by event', async () => {
  const server = await serve();
  await idleClient(server);
  const called: DrainPhase[] = [];
  const heard: DrainPhase[] = [];
  const draining = drain(server, { ...QUICK, onProgress: ({ phase }) => called.push(phase) });
  draining.events.on('progress', ({ phase }) => heard.push(phase));
  await draining;
  const phases = ['not-ready', 'stop-accepting', 'finishing', 'done'];
  expect([...new Set(called)]).toEqual(phases);
  expect(heard).toEqual(called);
});

test('a listener that throws does not stop the drain', async () => {
  const warned = once(process, 'warning');
  const server = await serve();
  const onProgress = () => {
    throw new Error('not my day');
  };
  expect(await drain(server, { onProgress })).toMatchObject({ cut: [] });
  expect((await warned)[0].message).toBe('not my day');
});

test('the readiness probe fails first, and the listener accepts for as long as the delay says', async () => {
  const server = await serve();
  const order: string[] = [];
  const draining = drain(server, { delay: 300, onNotReady: () => void order.push('not ready') });
  draining.events.on('progress', ({ phase }) => void order.push(phase));
  const before = performance.now();
  await new Promise<void>(done => draining.events.once('progress', () => done()));
  const late = await connectTo(server);
  const answer = await late.get('/late').response();
  expect(answer?.header).toMatch(/^connection: keep-alive/im);
  late.socket.end();
  await draining;
  expect(performance.now() - before).toBeGreaterThanOrEqual(290);
  expect(order.slice(0, 3)).toEqual(['not-ready', 'not ready', 'stop-accepting']);
});

test('a second call returns the same promise, until the server listens again', async () => {
  const server = await serve();
  const first = drain(server);
  expect(drain(server)).toBe(first);
  expect(drain([server])).toBe(first);
  await first;
  expect(drain(server)).toBe(first);
  await listening(server);
  const second = drain(server);
  expect(second).not.toBe(first);
  await second;
});

test('several servers of any kind are one drain', async () => {
  const http = await serve();
  const webSockets = new WebSocketServer({ server: http });
  const raw = await listening(createServer(socket => void socket.on('data', chunk => socket.write(chunk))));
  const idle = await idleClient(http);
  const tcp = await connectTo(raw);
  await tcp.send('x').seen('x');
  const report = await drain([http, webSockets, raw], QUICK);
  expect([await idle.ended, await tcp.ended]).toEqual(['FIN', 'FIN']);
  expect(report.closed).toMatchObject({ http1: 1, tcp: 1 });
});

test('a server that never listened, and one that has closed, are drained of what they have', async () => {
  const closed = await serve();
  const client = await connectTo(closed);
  const [request] = await Promise.all([once(closed, 'request'), client.get('/')]);
  closed.close();
  const draining = drain([createServer(), closed], QUICK);
  request[1].end('late');
  client.socket.end();
  expect(await draining).toMatchObject({ cut: [] });
});

test('the signal ends every patience at once', async () => {
  const held = promised<void>();
  const server = await listening(createHttp(() => held.resolve()));
  servers.push(server);
  const stuck = await connectTo(server);
  stuck.get('/stuck');
  await held.promise;
  const hurry = new AbortController();
  const draining = drain(server, { signal: hurry.signal, delay: 10_000 });
  const before = performance.now();
  hurry.abort();
  const report = await draining;
  expect(performance.now() - before).toBeLessThan(1_000);
  expect(report.cut).toMatchObject([{ doing: 'GET /stuck: no response yet' }]);
});

test("the application's own server.close() joins the drain, and destroys nothing", async () => {
  const server = await serve();
  const idle = await idleClient(server);
  const draining = drain(server, { delay: 10_000, idleGrace: 10_000 });
  const closed = new Promise(done => server.close(done));
  server.closeIdleConnections();
  await new Promise<void>(done =>
    draining.events.on('progress', ({ phase }: DrainProgress) => phase === 'finishing' && done()),
  );
  expect(await idle.get('/still-here').response()).toMatchObject({ body: '/still-here' });
  idle.socket.end();
  expect(await draining).toMatchObject({ cut: [], finished: 1 });
  expect(await closed).toBeUndefined();
  expect(Object.hasOwn(server, 'close')).toBe(false);
  expect(Object.hasOwn(server, 'emit')).toBe(false);
});

test('TIME_WAIT stays with clients that close first, and is reported where they do not', async () => {
  const server = await serve();
  const polite = await idleClient(server);
  const draining = drain(server, { clientFirst: 5_000 });
  draining.events.on('progress', ({ phase }) => phase === 'finishing' && polite.get('/'));
  await polite.response();
  polite.socket.end();
  expect(await draining).toMatchObject({ timeWait: process.platform === 'linux' ? 0 : undefined });

  const other = await serve();
  const lazy = await idleClient(other);
  const report = await drain(other, QUICK);
  await lazy.ended;
  expect(report.timeWait).toBe(process.platform === 'linux' ? 1 : undefined);

  const third = await serve();
  await idleClient(third);
  expect(await drain(third, { ...QUICK, countTimeWait: false })).toMatchObject({ timeWait: undefined });
});

test('500 idle connections are closed within their grace and little more', async () => {
  const server = await serve();
  const clients = await Promise.all(Array.from({ length: 500 }, () => idleClient(server)));
  const report = await drain(server, QUICK);
  expect(await Promise.all(clients.map(client => client.ended))).toEqual(clients.map(() => 'FIN'));
  expect(report).toMatchObject({ cut: [], closed: { http1: 500 } });
  expect(report.durationMs).toBeLessThan(3_000);
});

describe('handOff', () => {
  test('takes what is idle, silent or raw, and the drain closes its own descriptor only', async () => {
    const http = await serve();
    const raw = await listening(createServer(socket => void socket.on('data', chunk => socket.write(chunk))));
    await idleClient(http);
    const opened = Promise.all([once(http, 'connection'), once(raw, 'connection')]);
    await Promise.all([connectTo(http), connectTo(raw)]);
    await opened;
    const offered: [Socket, string][] = [];
    const handOff: DrainOptions['handOff'] = (socket, { protocol }) => offered.push([socket, protocol]) > 0;
    const report = await drain([http, raw], { handOff, idleGrace: 10_000, silentGrace: 10_000 });
    expect(report).toMatchObject({ handedOff: 3, cut: [], closed: { http1: 0, tcp: 0 } });
    expect(offered.map(([, protocol]) => protocol).sort()).toEqual(['http1', 'http1', 'tcp']);
    expect(offered.every(([socket]) => socket.destroyed && !socket.writableEnded)).toBe(true);
    expect(report.durationMs).toBeLessThan(1_000);
  });

  test('is offered a connection once its response is over, which then says keep-alive', async () => {
    const begun = promised<() => void>();
    const server = await listening(createHttp((_, response) => begun.resolve(() => void response.end('answer'))));
    servers.push(server);
    const client = await connectTo(server);
    client.get('/');
    const answer = await begun.promise;
    const draining = drain(server, { handOff: () => true });
    draining.events.on('progress', ({ phase }) => phase === 'finishing' && answer());
    expect((await client.response())?.header).toMatch(/^connection: keep-alive/im);
    expect(await draining).toMatchObject({ handedOff: 1, finished: 1 });
  });

  test.each<[string, DrainOptions['handOff']]>([
    ['false', () => false],
    ['a promise of false', async () => false],
    ['an error', () => Promise.reject(new Error('gone'))],
  ])('that says %s leaves the connection to the drain, which answers its next request', async (_, handOff) => {
    const server = await serve();
    const client = await idleClient(server);
    const draining = drain(server, { handOff, idleGrace: 10_000 });
    await new Promise<void>(done =>
      draining.events.on('progress', ({ phase }) => phase === 'finishing' && setImmediate(() => setImmediate(done))),
    );
    const answer = await client.get('/next').response();
    expect(answer?.header).toMatch(/^connection: close/im);
    client.socket.end();
    expect(await draining).toMatchObject({ handedOff: 0, closed: { http1: 1 } });
  });

  test('that has not answered at the deadline keeps what it has, and nothing is said on it', async () => {
    const server = await serve();
    const client = await idleClient(server);
    const seen = promised<boolean>();
    const handOff: DrainOptions['handOff'] = async socket => {
      await once(socket, 'close');
      seen.resolve(socket.writableEnded);
      return true;
    };
    const report = await drain(server, { handOff, deadline: 1_500 });
    expect(await seen.promise).toBe(false);
    expect(report.cut).toEqual([]);
    await client.ended;
  });

  test('is offered few at first, and more with each answer; the others are served meanwhile, as ever', async () => {
    const server = await serve();
    const clients = await Promise.all(Array.from({ length: 20 }, () => idleClient(server)));
    const answers: ((taken: boolean) => void)[] = [];
    const offered = new Set<number | undefined>();
    const handOff: DrainOptions['handOff'] = socket => {
      offered.add(socket.remotePort);
      return new Promise(answer => answers.push(answer));
    };
    const draining = drain(server, { handOff });
    await expect.poll(() => answers.length).toBe(4);
    const other = clients.find(({ socket }) => !offered.has(socket.localPort));
    const response = await other?.get('/meanwhile').response();
    expect(response?.body).toBe('/meanwhile');
    expect(response?.header).not.toMatch(/^connection: close/im);
    expect(answers.length).toBe(4);
    for (const answer of answers.splice(0)) answer(true);
    await expect.poll(() => answers.length).toBe(8);
    while (offered.size < 20) {
      for (const answer of answers.splice(0)) answer(true);
      await new Promise(done => setImmediate(done));
    }
    for (const answer of answers.splice(0)) answer(true);
    expect(await draining).toMatchObject({ handedOff: 20 });
  });

  test('is never offered a connection that is in the middle of a request', async () => {
    const server = await serve();
    const client = await idleClient(server);
    client.send('GET /half HTTP/1.1\r\n');
    await new Promise(done => setImmediate(() => setImmediate(done)));
    const offered: Socket[] = [];
    const handOff: DrainOptions['handOff'] = socket => offered.push(socket) > 0;
    const draining = drain(server, { handOff });
    await new Promise<void>(done =>
      draining.events.on('progress', ({ phase }) => phase === 'finishing' && setImmediate(() => setImmediate(done))),
    );
    expect(offered).toEqual([]);
    expect(await client.send('Host: test\r\n\r\n').response()).toMatchObject({ body: '/half' });
    expect(await draining).toMatchObject({ handedOff: 1, finished: 1 });
  });
});

describe('event streams and long polls', () => {
  async function streaming(): Promise<{ server: HttpServer; events: RawClient; poll: RawClient }> {
    const server = await listening(
      createHttp((request, response) => {
        if (request.url !== '/events') return;
        response.writeHead(200, { 'Content-Type': 'text/event-stream' });
        response.write('data: 1\n\n');
        const ticking = setInterval(() => response.write('data: 2\n\n'), 10);
        response.on('close', () => clearInterval(ticking));
      }),
    );
    servers.push(server);
    const [events, poll] = [await connectTo(server), await connectTo(server)];
    const both = once(server, 'request').then(() => once(server, 'request'));
    events.get('/events');
    poll.get('/poll');
    await both;
    return { server, events, poll };
  }

  test('an event stream is ended, a long poll is waited for until the deadline', async () => {
    const { server, events } = await streaming();
    const draining = drain(server, { deadline: 1_000 });
    const answer = await events.response();
    expect(answer?.body).toMatch(/^data: 1\n\n/);
    events.socket.end();
    const report = await draining;
    expect(report).toMatchObject({ finished: 1, cut: [{ doing: 'GET /poll: no response yet' }] });
  });

  test('the application ends them as it knows how to', async () => {
    const { server, events, poll } = await streaming();
    const asked: string[] = [];
    const draining = drain(server, {
      ...QUICK,
      endResponse: (response, request) => {
        asked.push(request?.url ?? '');
        if (request?.url === '/poll' && 'writeHead' in response) response.writeHead(204).end();
        else response.end('retry: 10\n\n');
        return true;
      },
    });
    expect((await events.response())?.body).toMatch(/retry: 10\n\n$/);
    await poll.seen('204 No Content');
    expect(poll.received).toMatch(/^connection: close/im);
    expect(await draining).toMatchObject({ finished: 2, cut: [] });
    expect(asked.sort()).toEqual(['/events', '/poll']);
  });

  test('eventStreams: wait leaves them alone', async () => {
    const { server } = await streaming();
    const report = await drain(server, { deadline: 300, eventStreams: 'wait' });
    expect(report.cut.map(({ doing }) => doing).sort()).toEqual([
      'GET /events: response started',
      'GET /poll: no response yet',
    ]);
  });
});

const bad: [string, unknown][] = [
  ['deadline', -1],
  ['deadline', Number.NaN],
  ['deadline', '10'],
  ['delay', Number.POSITIVE_INFINITY],
  ['idleGrace', 2 ** 31],
  ['shared', 'yes'],
  ['webSocketCode', 1005],
  ['webSocketCode', 999],
  ['webSocketReason', 'x'.repeat(124)],
  ['eventStreams', 'cut'],
  ['onDrain', 'f'],
  ['handOff', {}],
  ['signal', {}],
];

test.each(bad)('the option %s: %s is refused, and nothing is touched', async (name, value) => {
  const server = await serve();
  expect(() => drain(server, { [name]: value })).toThrow(
    expect.objectContaining({
      name: 'RelistenError',
      code: 'ERR_INVALID_ARG_VALUE',
      message: expect.stringContaining(name),
    }),
  );
  expect(server.listening).toBe(true);
});

test.each<[string, unknown]>([
  ['undefined', undefined],
  ['a number', 3000],
  ['an empty list', []],
  ['an object', {}],
  ['a WebSocketServer without a server', new WebSocketServer({ noServer: true })],
])('%s is no server', (_, given) => {
  expect(() => Reflect.apply(drain, undefined, [given])).toThrow(
    expect.objectContaining({ name: 'RelistenError', code: 'ERR_INVALID_ARG_VALUE' }),
  );
});

test('an option that does not exist is refused', async () => {
  const server = await serve();
  expect(() => drain(server, { timeout: 5 } as DrainOptions)).toThrow(/Invalid drain option: "timeout"/);
  expect(portOf(server)).toBeGreaterThan(0);
});
