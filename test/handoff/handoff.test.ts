import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { rememberAddress } from '../../src/handoff/describe.ts';
import { type Giver, openGiver } from '../../src/handoff/give.ts';
import { readReady } from '../../src/handoff/rendezvous.ts';
import { countRequests } from '../../src/handoff/requests.ts';
import { handOff, isHandedOff } from '../../src/handoff/state.ts';
import { openTaker, type Taker } from '../../src/handoff/take.ts';
import { processIds } from '../../src/kernel/process.ts';

let directory: string;
let taker: Taker;
let giver: Giver;
const servers: net.Server[] = [];
const clients: net.Socket[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'handoff-'));
});

afterEach(async () => {
  await giver?.close();
  await taker?.close();
  for (const client of clients.splice(0)) client.destroy();
  for (const server of servers.splice(0)) {
    if ('closeAllConnections' in server) (server as http.Server).closeAllConnections();
    server.close();
  }
  rmSync(directory, { recursive: true });
});

/** The receiving side in this very process: the same messages, without the wait for another one. */
async function open(): Promise<void> {
  taker = openTaker(directory, 2);
  const session = processIds(process.pid)?.sid;
  writeFileSync(join(directory, 'ready.json'), JSON.stringify({ generation: 2, pid: process.pid, session }));
  const ready = readReady(directory);
  if (!ready) throw new Error('ready.json cannot be read');
  const opened = await openGiver(directory, ready);
  if (!opened) throw new Error('nobody receives');
  giver = opened;
}

async function listening<S extends net.Server>(server: S, port = 0): Promise<S> {
  servers.push(server);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  rememberAddress(server);
  return server;
}

const portOf = (server: net.Server) => (server.address() as AddressInfo).port;

/** The server that has the address next; the connections of the old one stay. */
async function successorOf<S extends net.Server>(old: net.Server, server: S): Promise<S> {
  const port = portOf(old);
  net.Server.prototype.close.call(old);
  await listening(server, port);
  taker.add(server);
  return server;
}

async function connect(server: net.Server): Promise<{ client: net.Socket; served: net.Socket }> {
  const accepted = once(server, 'connection') as Promise<[net.Socket]>;
  const client = net.connect(portOf(server), '127.0.0.1');
  clients.push(client);
  const [served] = await accepted;
  return { client, served };
}

async function get(client: net.Socket, path: string): Promise<string> {
  client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  const [bytes] = (await once(client, 'data')) as [Buffer];
  return bytes.toString();
}

const named = (name: string, options: http.ServerOptions = {}) =>
  http.createServer(options, (request, response) => {
    response.end(`${name} ${request.url} from ${request.socket.remotePort}`);
  });

async function handOver(socket: net.Socket, server: net.Server, protocol: 'http1' | 'tcp' = 'http1'): Promise<boolean> {
  const taken = await giver.handOff(socket, { server, protocol });
  if (taken) socket.destroy();
  return taken;
}

/** An old server with one connection on which one request was answered, and its successor. */
async function withIdle(options: http.ServerOptions = {}, change: (server: http.Server) => void = () => undefined) {
  await open();
  const [first, second] = [named('old', options), named('new', options)];
  for (const server of [first, second]) change(server);
  const old = await listening(first);
  const { client, served } = await connect(old);
  expect(await get(client, '/1')).toContain('old /1');
  const next = await successorOf(old, second);
  const injected = once(next, 'connection') as Promise<[net.Socket]>;
  return { old, next, client, served, injected };
}

const count = (server: net.Server) =>
  new Promise<number>((settle, fail) => server.getConnections((error, n) => (error ? fail(error) : settle(n))));

describe('an idle HTTP connection', () => {
  test('goes on in the next server, counted there and with its addresses', async () => {
    const { old, next, client, served, injected } = await withIdle();
    const listeners = next.listeners('connection');
    const gone = once(served, 'close');
    expect(await handOver(served, old)).toBe(true);
    await gone;
    const [socket] = await injected;
    expect(next.listeners('connection')).toEqual(listeners.slice(0, -1));
    expect([socket.remotePort, socket.localPort]).toEqual([client.localPort, portOf(next)]);
    expect(isHandedOff(socket)).toBe(true);
    expect([await count(old), await count(next)]).toEqual([0, 1]);
    expect(await get(client, '/2')).toContain(`new /2 from ${client.localPort}`);
  });

  test('keeps a request that came while it was under way', async () => {
    const { old, client, served } = await withIdle();
    const handed = giver.handOff(served, { server: old, protocol: 'http1' });
    const answer = get(client, '/meanwhile');
    expect(await handed).toBe(true);
    served.destroy();
    expect(await answer).toContain('new /meanwhile');
  });

  test('is idle for the next server too, so that no timeout for headers ends it', async () => {
    const limits = { headersTimeout: 40, requestTimeout: 50, connectionsCheckingInterval: 10 };
    const { old, client, served } = await withIdle(limits);
    await handOver(served, old);
    // The third check after the timeout: by then a connection that counts as active has had its 408.
    const { client: bystander } = await connect(servers[1] as http.Server);
    const [timedOut] = (await once(bystander, 'data')) as [Buffer];
    expect(timedOut.toString()).toContain('408');
    expect(await get(client, '/later')).toContain('new /later');
  });

  test('is closed when its keep-alive time is over, counted from its last request', async () => {
    const { old, next, client, served, injected } = await withIdle({ keepAliveTimeout: 60_000 });
    served.setTimeout(150);
    await handOver(served, old);
    const [socket] = await injected;
    expect(socket.timeout).toBeLessThanOrEqual(150);
    await once(client, 'close');
    expect(await count(next)).toBe(0);
  });

  test('loses that timer with its next request', async () => {
    const { old, next, client, served, injected } = await withIdle({ keepAliveTimeout: 60_000 });
    await handOver(served, old);
    const [socket] = await injected;
    next.removeAllListeners('request');
    const during = once(next, 'request').then(([, response]) => {
      const { timeout } = socket;
      (response as http.ServerResponse).end('done');
      return timeout;
    });
    await get(client, '/2');
    expect(await during).toBe(0);
  });

  test('has as many requests left as it had before', async () => {
    const { old, client, served } = await withIdle({}, server => {
      server.maxRequestsPerSocket = 3;
      countRequests(server);
    });
    await get(client, '/2');
    await handOver(served, old);
    expect(await get(client, '/3')).toMatch(/200 OK(.|\r|\n)*Connection: close/i);
  });

  test('can be handed over again before it has had another request', async () => {
    const { old, next, client, served, injected } = await withIdle();
    await handOver(served, old);
    const [second] = await injected;
    const third = await successorOf(next, named('third'));
    expect(await handOver(second, next)).toBe(true);
    expect(await count(third)).toBe(1);
    expect(await get(client, '/3')).toContain('third /3');
  });

  test('that never sent a byte is taken as one that just came', async () => {
    await open();
    const old = await listening(named('old'));
    const { client, served } = await connect(old);
    await successorOf(old, named('new'));
    expect(await handOver(served, old)).toBe(true);
    expect(await get(client, '/1')).toContain('new /1');
  });

  test('stays where it is if no server of the receiver has its address, and is read on', async () => {
    await open();
    const old = await listening(named('old'));
    const { client, served } = await connect(old);
    taker.add(await listening(named('elsewhere')));
    const warned = once(process, 'warning');
    expect(await handOver(served, old)).toBe(false);
    expect(String(await warned)).toMatch(/nobody listens there for http1/);
    expect(await get(client, '/1')).toContain('old /1');
  });

  test('stays where it is if the receiver has as many connections as it may', async () => {
    const { old, next, client, served } = await withIdle();
    next.maxConnections = 1;
    await connect(next);
    expect(await handOver(served, old)).toBe(false);
    expect(await get(client, '/2')).toContain('old /2');
  });

  test('is not offered while a response waits to be written', async () => {
    const { old, served } = await withIdle();
    served.cork();
    served.write('x');
    expect(await handOver(served, old)).toBe(false);
    served.uncork();
  });
});

describe('several servers', () => {
  test('each get the connections of their own address', async () => {
    await open();
    const olds = [await listening(named('old a')), await listening(named('old b'))];
    const pairs = [];
    for (const old of olds) pairs.push({ old, ...(await connect(old)) });
    for (const { client } of pairs) await get(client, '/1');
    for (const [index, { old }] of pairs.entries()) await successorOf(old, named(`new ${'ab'[index]}`));
    const handed = pairs.map(({ served, old }) => handOver(served, old));
    expect(await Promise.all(handed)).toEqual([true, true]);
    expect(await Promise.all(pairs.map(({ client }) => get(client, '/2')))).toEqual([
      expect.stringContaining('new a /2'),
      expect.stringContaining('new b /2'),
    ]);
  });
});

describe('a raw TCP connection', () => {
  /** Answers every line with how many lines came; greets whom it does not know. */
  function counter(): net.Server {
    const counts = new WeakMap<net.Socket, number>();
    const server = net.createServer(socket => {
      if (!isHandedOff(socket)) socket.write('hello\n');
      socket.on('readable', () => {
        for (let byte: Buffer | null = socket.read(1); byte; byte = socket.read(1)) {
          if (byte[0] !== 10) continue;
          counts.set(socket, (counts.get(socket) ?? 0) + 1);
          socket.write(`${counts.get(socket)}\n`);
          if (socket.listenerCount('stop') > 0) break;
        }
      });
    });
    handOff(server, {
      save: socket => Buffer.of(counts.get(socket) ?? 0),
      restore: (socket, state) => counts.set(socket, state[0] ?? 0),
    });
    return server;
  }

  async function line(client: net.Socket, text = ''): Promise<string> {
    if (text) client.write(text);
    const [bytes] = (await once(client, 'data')) as [Buffer];
    return bytes.toString();
  }

  test('goes on with what was saved', async () => {
    await open();
    const old = await listening(counter());
    const { client, served } = await connect(old);
    expect(await line(client)).toBe('hello\n');
    expect(await line(client, 'a\n')).toBe('1\n');
    await successorOf(old, counter());
    expect(await handOver(served, old, 'tcp')).toBe(true);
    expect(await line(client, 'b\n')).toBe('2\n');
  });

  test('takes along what was read and not consumed, before what comes later', async () => {
    await open();
    let seen = '';
    const old = await listening(net.createServer());
    handOff(old, { save: () => Buffer.from('state'), restore: () => undefined });
    const { client, served } = await connect(old);
    const arrived = once(served, 'readable');
    client.write('first ');
    served.read(0);
    await arrived;
    const next = net.createServer(socket => {
      socket.setEncoding('utf8');
      socket.on('data', text => {
        seen += text;
      });
      socket.on('end', () => socket.end());
    });
    const restored: string[] = [];
    handOff(next, { save: () => undefined, restore: (_, state) => restored.push(state.toString()) });
    await successorOf(old, next);
    expect(served.readableLength).toBe(6);
    expect(await handOver(served, old, 'tcp')).toBe(true);
    client.end('second');
    await once(client, 'close');
    expect(seen).toBe('first second');
    expect(restored).toEqual(['state']);
  });

  test('stays, with all that was read, if nothing is saved or the receiver cannot restore it', async () => {
    await open();
    const old = await listening(net.createServer());
    const { served, client } = await connect(old);
    expect(await handOver(served, old, 'tcp')).toBe(false);
    handOff(old, { save: () => undefined, restore: () => undefined });
    expect(await handOver(served, old, 'tcp')).toBe(false);
    handOff(old, { save: () => Buffer.from('x'), restore: () => undefined });
    await successorOf(old, net.createServer());
    const arrived = once(served, 'readable');
    client.write('kept');
    await arrived;
    expect(await handOver(served, old, 'tcp')).toBe(false);
    expect(String(served.read())).toBe('kept');
    handOff(old, { save: () => Buffer.alloc(200_000), restore: () => undefined });
    expect(await handOver(served, old, 'tcp')).toBe(false);
  });
});
