import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { KeepAlive } from '../fixtures/keep-alive.ts';
import { freePort, listensNoMore, Supervised } from '../fixtures/supervised.ts';
import { FreshClients, httpGet } from '../system/clients.ts';

/*
 * The real packages, as people use them, with the hook and nothing else. test/apps has its own package.json: they are many
 * and heavy.
 */

const APPS = fileURLToPath(new URL('../apps', import.meta.url));
const bin = (name: string) => join(APPS, 'node_modules', '.bin', name);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function run(command: (port: number) => string[], cwd = APPS): Promise<{ supervised: Supervised; port: number }> {
  const port = await freePort();
  const supervise = { cwd, standbyMs: 0 };
  const supervised = new Supervised(command(port), { env: { PORT: String(port) }, supervise });
  cleanups.push(() => supervised.stop());
  await supervised.ready();
  // Tools listen on sockets of their own before (tsx).
  await supervised.until(told => told.type === 'listening' && told.address?.endsWith(`:${port}`) === true);
  return { supervised, port };
}

async function connect(port: number): Promise<KeepAlive> {
  const client = await KeepAlive.open(port);
  cleanups.push(() => client.destroy());
  return client;
}

const BY_SIGNAL = { code: null, signal: 'SIGTERM' };
const BY_ITSELF = { code: 0, signal: null };

describe('idle connections go on, and what is in flight finishes, with', () => {
  test.each<[string, string[], object, standsBy?: boolean]>([
    ['express', ['node', 'express.mjs'], BY_SIGNAL],
    ['fastify, which closes itself and exits', ['node', 'fastify.mjs'], BY_ITSELF],
    ['koa', ['node', 'koa.mjs'], BY_SIGNAL],
    ["hono's node server", ['node', 'hono.mjs'], BY_SIGNAL],
    ['Nest with its shutdown hooks, through tsx', [bin('tsx'), 'nest.mts'], { code: 143, signal: null }, false],
    ['close-with-grace', ['node', 'close-with-grace.mjs'], BY_ITSELF],
    ['ts-node', [bin('ts-node'), '--transpile-only', 'typed.cts'], BY_SIGNAL],
    ['ws beside them', ['node', 'ws.mjs'], BY_SIGNAL],
    ['socket.io beside them', ['node', 'socket-io.mjs'], BY_SIGNAL],
  ])('%s', async (_, command, exit, standsBy = true) => {
    const { supervised, port } = await run(() => command);
    const [idle, busy] = [await connect(port), await connect(port)];
    for (const generation of [1, 2]) {
      expect(await idle.request('/1')).toBe(String(generation));
      const slow = busy.request('/slow');
      // A second time with a process that has waited for it, where the program can have one.
      if (generation === 2 && standsBy) await supervised.stoodBy();
      await supervised.restart();
      expect(await slow).toBe(String(generation));
      expect(await supervised.exited(generation)).toEqual(exit);
      const next = String(generation + 1);
      expect(await Promise.all([idle.request('/2'), busy.request('/2')])).toEqual([next, next]);
    }
  });
});

// Closed, it would answer with a 503 (return503OnClosing).
test('fastify answers what comes while it is drained', async () => {
  const { supervised, port } = await run(() => ['node', 'fastify.mjs']);
  const { pid = 0 } = await supervised.until(({ type }) => type === 'spawned');
  const [idle, busy] = [await connect(port), await connect(port)];
  expect(await idle.request('/1')).toBe('1');
  const slow = busy.request('/slow');
  const stopped = supervised.stop();
  await listensNoMore(port, pid);
  expect(await idle.request('/2')).toBe('1');
  expect(await slow).toBe('1');
  await stopped;
  expect(await supervised.exited(1)).toEqual(BY_ITSELF);
});

describe('a program that closes its connections itself loses none, with', () => {
  test.each<[string, object]>([
    ['stoppable', BY_ITSELF],
    ['http-terminator', BY_ITSELF],
    ['http-graceful-shutdown', BY_ITSELF],
    ['@godaddy/terminus', BY_SIGNAL],
    ['closeAllConnections', BY_ITSELF],
  ])('%s', async (way, exit) => {
    const { supervised, port } = await run(() => ['node', 'closers.mjs', way]);
    const [idle, silent] = [await connect(port), await connect(port)];
    for (const generation of [1, 2]) {
      expect(await idle.request('/1')).toBe(String(generation));
      const busy = await connect(port);
      const slow = busy.request('/slow');
      // A second time with a process that receives at once: some of them announce the end of what is in use until then.
      if (generation === 2) await supervised.stoodBy();
      await supervised.restart();
      expect(await slow).toBe(String(generation));
      expect(await supervised.exited(generation)).toEqual(exit);
      expect(await idle.request('/2')).toBe(String(generation + 1));
    }
    expect(await silent.request('/3')).toBe('3');
  });
});

describe('next start', () => {
  beforeAll(() => {
    if (existsSync(join(APPS, 'next', '.next', 'BUILD_ID'))) return;
    const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1' };
    const { status, stderr } = spawnSync(bin('next'), ['build'], { cwd: join(APPS, 'next'), env, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
  }, 300_000);

  test('keeps its idle connections', async () => {
    const { supervised, port } = await run(() => [bin('next'), 'start'], join(APPS, 'next'));
    const client = await connect(port);
    expect(await client.request('/api/x')).toBe('1');
    await supervised.restart();
    await supervised.exited(1);
    expect(await client.request('/api/x')).toBe('2');
  });
});

describe('vite', () => {
  // It listens on every wildcard before, to see whether the port is free.
  test.each([
    ['dev', []],
    ['preview', ['preview', '--outDir', '.']],
  ])('%s loses nobody, and keeps its idle connections', async (_, args) => {
    const start = (port: number) => [
      bin('vite'),
      ...args,
      '--port',
      String(port),
      '--strictPort',
      '--host',
      '127.0.0.1',
    ];
    const { supervised, port } = await run(start, join(APPS, 'vite'));
    await supervised.until(told => told.address === `127.0.0.1:${port}`);
    const idle = await connect(port);
    const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
    for (const generation of [1, 2]) {
      expect(await idle.request('/')).toContain('<title>vite</title>');
      await supervised.restart();
      await supervised.exited(generation);
      await clients.more(10);
    }
    expect(await idle.request('/')).toContain('<title>vite</title>');
    expect(await clients.stop()).toMatchObject({ refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] });
  });
});
