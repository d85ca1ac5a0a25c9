import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer as createHttp, get, type Server as HttpServer } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2 } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import fastify from 'fastify';
import Koa from 'koa';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { grantedBacklog } from '../src/kernel/backlog.ts';
import { close, isCloexec } from '../src/kernel/fd.ts';
import { sysctl } from '../src/kernel/sysctl.ts';
import { type Listening, type ListenOptions, listen } from '../src/listen.ts';
import { deadServer, leaveFinWait2 } from './fixtures/leftover.ts';
import { listener } from './fixtures/tcp.ts';

const open: Listening[] = [];
const fds: number[] = [];
const folders: string[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map(listening => listening.close()));
  for (const fd of fds.splice(0)) close(fd);
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** Listens until the test is over; on a free port of loopback unless it says otherwise. */
async function listenOn(server: Server, options: ListenOptions | number | string = { port: 0, host: '127.0.0.1' }) {
  const listening = await listen(server, options);
  open.push(listening);
  const { address } = listening;
  return { ...listening, port: address.family === 'unix' ? 0 : address.port };
}

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'l-'));
  folders.push(folder);
  return folder;
}

function live() {
  const { fd, port } = listener();
  fds.push(fd);
  return port;
}

/** The kernel's number of a server's listener, which Node does not tell. */
function descriptorOf(server: Server): number {
  return (server as unknown as { _handle: { fd: number } })._handle.fd;
}

function fetchText(options: { port: number } | { socketPath: string }): Promise<string> {
  return new Promise((fulfil, reject) => {
    get({ host: '127.0.0.1', agent: false, ...options }, response => {
      response
        .setEncoding('utf8')
        .toArray()
        .then(parts => fulfil(parts.join('')), reject);
    }).on('error', reject);
  });
}

describe('listen', () => {
  it('makes a server listen and says where', async () => {
    const server = createServer(socket => socket.end('hello'));
    const { address, adopted, warnings, port } = await listenOn(server);
    expect({ address, adopted, warnings }).toEqual({
      address: { family: 'IPv4', host: '127.0.0.1', port },
      adopted: false,
      warnings: [],
    });
    expect(server.address()).toEqual({ address: '127.0.0.1', family: 'IPv4', port });
    const [text] = await connect(port, '127.0.0.1').setEncoding('utf8').toArray();
    expect(text).toBe('hello');
  });

  it.each<[string, ListenOptions | number | string, object]>([
    ['every address of both families', 0, { family: 'IPv6', host: '::' }],
    ['an address in text', '127.0.0.1:0', { family: 'IPv4', host: '127.0.0.1' }],
    ['a host name', { port: 0, host: 'localhost' }, { host: expect.stringMatching(/^(127\.0\.0\.1|::1)$/) }],
    ['an IPv6 address', { port: 0, host: '::1' }, { family: 'IPv6', host: '::1' }],
    ['a port in text', { port: '0', host: '127.0.0.1' }, { family: 'IPv4' }],
  ])('takes %s', async (_name, options, expected) => {
    expect((await listenOn(createServer(), options)).address).toMatchObject(expected);
  });

  it('covers IPv4 with ::, unless ipv6Only is set', async () => {
    const both = await listenOn(createServer(), { port: 0 });
    await expect(listen(createServer(), { port: both.port, host: '127.0.0.1' })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    });
    const only = await listenOn(createServer(), { port: 0, ipv6Only: true });
    expect((await listenOn(createServer(), { port: only.port, host: '127.0.0.1' })).port).toBe(only.port);
  });

  it('has its descriptor closed in children', async () => {
    const server = createServer();
    await listenOn(server);
    expect(isCloexec(descriptorOf(server))).toBe(true);
  });

  it('has the backlog that was asked for, not the one that Node would set', async () => {
    const server = createServer();
    const { warnings } = await listenOn(server, { port: 0, host: '127.0.0.1', backlog: 77 });
    expect(grantedBacklog(descriptorOf(server), 77)).toBe(77);
    expect(warnings).toEqual([]);
  });

  it('reports the cap of net.core.somaxconn', async () => {
    const cap = Number(sysctl('net.core.somaxconn'));
    const { warnings } = await listenOn(createServer(), { port: 0, backlog: cap + 1 });
    expect(warnings).toEqual([
      `The kernel capped the backlog at ${cap}, not ${cap + 1}: raise net.core.somaxconn (listen(2))`,
    ]);
  });

  it('waits for what a dead server left, and listens then', async () => {
    const leftover = leaveFinWait2(1);
    const told: string[] = [];
    const listening = await listenOn(createServer(), {
      ...{ port: leftover.address.port, host: '127.0.0.1' },
      onWait: ({ why }) => told.push(why),
    });
    leftover.release();
    expect(listening.waited).toBeGreaterThan(800);
    expect(told).toEqual(['timers']);
  });

  it('closes once the last connection has ended, and answers every close the same', async () => {
    const server = createServer();
    const listening = await listen(server, { port: 0, host: '127.0.0.1' });
    const connected = new Promise(fulfil => server.once('connection', fulfil));
    const client = connect(listening.address.family === 'unix' ? 0 : listening.address.port, '127.0.0.1');
    const socket = (await connected) as import('node:net').Socket;
    const closing = [listening.close(), listening.close()];
    expect(server.listening).toBe(false);
    let done = false;
    void closing[0]?.then(() => {
      done = true;
    });
    await new Promise(setImmediate);
    expect(done).toBe(false);
    socket.end();
    client.end();
    await Promise.all(closing);
    await listening.close();
  });

  it('closes at the end of a block, and can listen again', async () => {
    const server = createServer();
    {
      await using _ = await listen(server, { port: 0, host: '127.0.0.1' });
      expect(server.listening).toBe(true);
    }
    expect(server.listening).toBe(false);
    await listenOn(server);
  });

  it('closes when its signal is aborted, as Node does', async () => {
    const controller = new AbortController();
    const server = createServer();
    const listening = await listen(server, { port: 0, host: '127.0.0.1', signal: controller.signal });
    controller.abort();
    expect(server.listening).toBe(false);
    await listening.close();
  });

  it('ends the wait when its signal is aborted', async () => {
    const signal = AbortSignal.timeout(30);
    const { port } = deadServer();
    const server = createServer();
    await expect(listen(server, { port, host: '127.0.0.1', signal })).rejects.toMatchObject({ code: 'ABORT_ERR' });
    await expect(listen(server, { port: 0, signal })).rejects.toMatchObject({ code: 'ABORT_ERR' });
    expect(server.listening).toBe(false);
  });
});

describe('listen, refused', () => {
  it('says who has the address, and opens nothing', async () => {
    const port = live();
    const server = createServer();
    const error = await listen(server, { port, host: '127.0.0.1' }).catch((error: unknown) => error);
    expect(error).toMatchObject({
      name: 'RelistenError',
      code: 'EADDRINUSE',
      op: 'listen',
      address: `127.0.0.1:${port}`,
      message: `Cannot listen on 127.0.0.1:${port}: in use by this process itself (pid ${process.pid})`,
      report: { reason: 'live-listener', listeners: [{ state: 'LISTEN' }] },
      cause: { code: 'EADDRINUSE', op: 'bind' },
    });
    expect(server.listening).toBe(false);
    await listenOn(server);
  });

  it('waits for a live process if asked, and gives up at the deadline', async () => {
    const port = live();
    const started = performance.now();
    const retry = { interval: 5, deadline: 100 };
    await expect(listen(createServer(), { port, host: '127.0.0.1', retry })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    });
    expect(performance.now() - started).toBeGreaterThanOrEqual(99);
  });

  it('waits for a live process if asked, and takes its place', async () => {
    const { fd, port } = listener({ reuse: 'address' });
    const listening = await listenOn(createServer(), { port, host: '127.0.0.1', retry: true, onWait: () => close(fd) });
    expect(listening.port).toBe(port);
  });

  it('refuses a server that listens already, and leaves it be', async () => {
    const server = createServer();
    const { port } = await listenOn(server);
    await expect(listen(server, 0)).rejects.toMatchObject({
      code: 'ERR_SERVER_ALREADY_LISTEN',
      message: 'Cannot listen on 0: the server is listening already, expected one that is not',
    });
    expect(server.address()).toMatchObject({ port });
  });

  it('refuses a server that is about to listen', async () => {
    const server = createServer();
    const first = listenOn(server);
    await expect(listen(server, 0)).rejects.toMatchObject({ code: 'ERR_SERVER_ALREADY_LISTEN' });
    await first;
  });

  it.each<[string, ListenOptions, string]>([
    ['a name that does not resolve', { port: 0, host: 'no-such-host.invalid' }, 'ENOTFOUND'],
    ['an address of another host', { port: 0, host: '192.0.2.1' }, 'EADDRNOTAVAIL'],
    ['a folder that does not exist', { path: '/no/such/folder/app.sock' }, 'ENOENT'],
    ['nothing to listen on', {}, 'ERR_INVALID_ARG_VALUE'],
  ])('refuses %s', async (_name, options, code) => {
    const server = createServer();
    const error = await listen(server, options).catch((error: unknown) => error);
    expect(error).toMatchObject({ name: 'RelistenError', code });
    expect(server.listening).toBe(false);
  });

  it('refuses what is no server', async () => {
    await expect(listen(express() as unknown as Server, 0)).rejects.toMatchObject({
      message: expect.stringMatching(/^Invalid server: .*expected a server of node:net, http, https or http2$/s),
    });
  });
});

describe('listen on a unix socket', () => {
  it('answers on it, knows its address, and removes it when it closes', async () => {
    const path = join(temporary(), 'app.sock');
    const server = createHttp((_request, response) => response.end('over a path'));
    const listening = await listenOn(server, { path, mode: 0o600 });
    expect(listening).toMatchObject({ address: { family: 'unix', path }, warnings: [] });
    expect(server.address()).toBe(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await fetchText({ socketPath: path })).toBe('over a path');
    await listening.close();
    expect(existsSync(path)).toBe(false);
    expect(server.address()).toBeNull();
  });

  it('removes it also when the server is closed without us', async () => {
    const path = join(temporary(), 'app.sock');
    const server = createServer();
    const listening = await listen(server, { path });
    server.close();
    await listening.close();
    expect(existsSync(path)).toBe(false);
  });

  it('leaves the path to a successor', async () => {
    const path = join(temporary(), 'app.sock');
    const first = await listen(createServer(), { path });
    rmSync(path);
    await listenOn(createServer(), { path });
    await first.close();
    expect(existsSync(path)).toBe(true);
  });

  it('takes the place of a dead server, not of a live one', async () => {
    const path = join(temporary(), 'app.sock');
    await listenOn(createServer(), { path });
    await expect(listen(createServer(), { path })).rejects.toMatchObject({
      code: 'EADDRINUSE',
      report: { reason: 'live-unix-socket' },
    });
    expect(existsSync(path)).toBe(true);
  });

  it('takes an abstract name', async () => {
    const path = `@relisten-listen-${process.pid}`;
    const { address } = await listenOn(createServer(), { path });
    expect(address).toEqual({ family: 'unix', path: path.replace('@', '\0') });
  });
});

describe('listen for what sits on a server', () => {
  const answer = async (server: HttpServer) => fetchText({ port: (await listenOn(server)).port });

  it('serves express', async () => {
    const app = express().get('/', (_request, response) => void response.send('express'));
    expect(await answer(createHttp(app))).toBe('express');
  });

  it('serves fastify', async () => {
    const app = fastify().get('/', async () => 'fastify');
    await app.ready();
    expect(await answer(app.server)).toBe('fastify');
  });

  it('serves koa', async () => {
    const app = new Koa().use(context => {
      context.body = 'koa';
    });
    expect(await answer(createHttp(app.callback()))).toBe('koa');
  });

  it('serves ws', async () => {
    const server = createHttp();
    const sockets = new WebSocketServer({ server });
    sockets.on('connection', socket => socket.on('message', data => socket.send(`echo ${data}`)));
    const { port } = await listenOn(server);
    const client = new WebSocket(`ws://127.0.0.1:${port}`);
    client.on('open', () => client.send('ws'));
    expect(String(await new Promise(fulfil => client.once('message', fulfil)))).toBe('echo ws');
    const closed = new Promise(fulfil => client.once('close', fulfil));
    client.close();
    await closed;
  });

  it('serves http2', async () => {
    const server = createHttp2();
    server.on('stream', stream => {
      stream.respond({ ':status': 200 });
      stream.end('http2');
    });
    const { port } = await listenOn(server);
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const parts = await session.request({ ':path': '/' }).setEncoding('utf8').toArray();
    expect(parts.join('')).toBe('http2');
    await new Promise<void>(fulfil => session.close(fulfil));
  });

  it('takes an https server', async () => {
    const server = createHttps();
    const { port } = await listenOn(server);
    expect(server.address()).toMatchObject({ port });
  });
});
