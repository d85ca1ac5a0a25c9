import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { allProcessIds } from '../../src/kernel/process.ts';
import { needs } from '../tools.ts';
import { FreshClients, httpGet } from './clients.ts';
import { freePort, Supervised } from './harness.ts';
import { SERVERS, serverFolder } from './servers.ts';

const { test } = needs('linux', 'gunicorn');
const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };
const WORKERS = 2;

async function start(port: number, folder: string): Promise<Supervised> {
  const server = SERVERS.find(({ name }) => name === 'gunicorn');
  // A worker of gunicorn that has just been made may not hear that it is told to end.
  const run = await new Supervised(server?.command(port, folder) ?? [], { args: ['--drain', '5s'] }).started();
  await run.until(() => count(run, 'Booting worker') === WORKERS);
  return run;
}

function count(run: Supervised, words: string): number {
  return run.lines.filter(line => line.includes(words)).length;
}

/** SIGUSR2 starts a new master with workers, beside the old one, which is then told to end. @returns the new one's pid */
async function upgrade(run: Supervised): Promise<number> {
  const [master = 0] = run.family(run.ready?.pid);
  const [booted, from] = [count(run, 'Booting worker'), run.events.length];
  process.kill(master, 'SIGUSR2');
  await run.until(() => count(run, 'Booting worker') === booted + WORKERS);
  const isNew = ({ pid, ppid }: { pid: number; ppid: number }) =>
    ppid === master && readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`GUNICORN_PID=${master}`);
  const next = allProcessIds().find(isNew)?.pid ?? 0;
  process.kill(master, 'SIGTERM');
  await run.event('notice', ({ text }) => text.includes(`replaced its process ${master} by ${next}`), from);
  run.look();
  return next;
}

test('a server that has replaced itself goes on as the same generation, is restarted, and nobody is lost', async () => {
  using made = serverFolder();
  const port = await freePort();
  await using run = await start(port, made.folder);
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  const master = await upgrade(run);
  await clients.more(40);
  await run.restart();
  expect(run.events).toContainEqual(expect.objectContaining({ generation: 1, state: 'exited', pid: master }));
  expect(run.family(master)).toEqual([]);
  await clients.more(20);
  await upgrade(run);
  await clients.more(40);
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a server that has replaced itself, and crashes, is started again', async () => {
  using made = serverFolder();
  const port = await freePort();
  await using run = await start(port, made.folder);
  const master = await upgrade(run);
  process.kill(master, 'SIGKILL');
  const exited = await run.event('state', ({ state }) => state === 'exited');
  expect(exited).toMatchObject({ generation: 1, pid: master, exit: { code: null, signal: 'SIGKILL' } });
  await run.event('state', ({ generation, state }) => generation === 2 && state === 'ready');
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a server that has replaced itself, and ends by itself, ends relisten', async () => {
  using made = serverFolder();
  const port = await freePort();
  await using run = await start(port, made.folder);
  process.kill(await upgrade(run), 'SIGTERM');
  expect(await run.end()).toMatchObject({ code: 0, left: [] });
});
