import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { close } from '../../src/kernel/fd.ts';
import { listener } from '../fixtures/tcp.ts';
import { needs } from '../tools.ts';
import { FreshClients, httpGet } from './clients.ts';
import { freePort, NOBODY, type RunOptions, Supervised } from './harness.ts';
import { expectOverlap, generationAt, LISTENS, listenersAt, looking } from './listens.ts';
import { serverFolder } from './servers.ts';

/* New versions that listen on an address which overlaps that of the one before. */

const { test } = needs('linux', 'python3');
const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };

/** A server that a file tells where it looks, and at the last where it serves; it answers who waits before it closes. */
function movable(folder: string, port: number, options: RunOptions = {}) {
  const envFile = join(folder, 'env');
  return {
    serve(...hosts: string[]) {
      writeFileSync(envFile, `LISTENS="${looking(port, ...hosts)}"\n`);
    },
    start() {
      const args = ['--env-file', envFile, ...(options.args ?? [])];
      const env = { READY: '1', STAY: join(folder, 'nowhere') };
      return new Supervised(LISTENS, { ...options, args, env });
    },
  };
}

const MOVES: [from: string, looks: string[], to: string, who?: string, options?: RunOptions][] = [
  ['127.0.0.1', ['0.0.0.0', '[::]'], '0.0.0.0'],
  ['0.0.0.0', ['[::]'], '[::]'],
  ['[::]', ['0.0.0.0', '[::]'], '0.0.0.0', ', both of which it looks at'],
  ['[::]', ['0.0.0.0'], '0.0.0.0'],
  ['0.0.0.0', ['[::]'], '127.0.0.1', ' as an ordinary user', { uid: NOBODY }],
];

for (const [from, looks, to, who = '', options] of MOVES) {
  needs('linux', 'python3', ...(options ? ['root', 'setpriv'] : [])).test(
    `a program that looks, and moves from ${from} to ${to}${who}, is served there, and nobody is lost`,
    async () => {
      using made = serverFolder();
      const port = await freePort();
      const { serve, start } = movable(made.folder, port, options);
      serve(...looks, from);
      await using run = start();
      await run.started();
      await run.restart();
      serve(...looks, to);
      const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
      await clients.more(10);
      const { generation } = await run.restart();
      expectOverlap(run, generation);
      await clients.more(20);
      expect(await clients.stop()).toMatchObject(NOBODY_LOST);
      expect(await generationAt(port)).toBe(3);
      expect(listenersAt(port)).toHaveLength(1);
      expect(run.events.filter(event => event.type === 'notice' && !event.text.startsWith('SIGHUP'))).toEqual([]);
      expect(await run.stop()).toMatchObject({ left: [] });
    },
  );
}

test('a new version that moves, and says that it is ready, is heard before the old one ends', async () => {
  using made = serverFolder();
  const port = await freePort();
  const { serve, start } = movable(made.folder, port, { args: ['--ready-line', '/^serving$/'] });
  serve('127.0.0.1');
  await using run = start();
  await run.started();
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  serve('0.0.0.0');
  await run.restart();
  await clients.more(20);
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a new version that moves has all clients while the old one does not end', async () => {
  using made = serverFolder();
  const port = await freePort();
  const { serve, start } = movable(made.folder, port);
  serve('127.0.0.1');
  await using run = start();
  await run.started();
  const old = run.ready?.pid ?? 0;
  process.kill(old, 'SIGSTOP');
  serve('0.0.0.0');
  run.kill('SIGHUP');
  await run.event('state', ({ generation, state }) => generation === 1 && state === 'draining');
  expect(await generationAt(port)).toBe(2);
  process.kill(old, 'SIGCONT');
  await run.event('state', ({ generation, state }) => generation === 1 && state === 'exited');
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('an address that the old one served, and the new one only looks at, is let go of', async () => {
  using made = serverFolder();
  const port = await freePort();
  const { serve, start } = movable(made.folder, port);
  serve('[::]');
  await using run = start();
  await run.started();
  serve('[::]', '0.0.0.0');
  await run.restart();
  await run.event('released', ({ address }) => address === `[::]:${port}`);
  expect(await generationAt(port)).toBe(2);
  expect(listenersAt(port)).toHaveLength(1);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a new version that moves, and fails, leaves the old one its clients', async () => {
  using made = serverFolder();
  const port = await freePort();
  const envFile = join(made.folder, 'env');
  const say = (host: string, ready: string) => writeFileSync(envFile, `LISTENS=${host}:${port}\nREADY=${ready}\n`);
  const args = ['--env-file', envFile, '--ready-line', '/^serving$/', '--ready-timeout', '2s'];
  say('[::]', '1');
  await using run = new Supervised(LISTENS, { args });
  await run.started();
  say('127.0.0.1', '');
  run.kill('SIGHUP');
  await run.event('listening', ({ generation }) => generation === 2);
  await run.event('state', ({ state }) => state === 'failed');
  expect(await generationAt(port)).toBe(1);
  expect(listenersAt(port)).toHaveLength(1);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('where somebody else has the address that a new version moves to, nobody is ended for its sake', async () => {
  using made = serverFolder();
  const port = await freePort();
  const { serve, start } = movable(made.folder, port);
  serve('127.0.0.1');
  await using run = start();
  await run.started();
  const { fd } = listener({ port, host: '127.0.0.2' });
  serve('0.0.0.0');
  run.kill('SIGHUP');
  await run.event('blocked', ({ address }) => address === `0.0.0.0:${port}`);
  await run.event('state', ({ state }) => state === 'failed');
  close(fd);
  expect(await generationAt(port)).toBe(1);
  expect(await run.stop()).toMatchObject({ left: [] });
});
