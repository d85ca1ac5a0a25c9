import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { needs } from '../tools.ts';
import { FreshClients, httpGet } from './clients.ts';
import { freePort, Supervised } from './harness.ts';
import { serverFolder } from './servers.ts';

/*
 * What relisten does without where the system has no more of it.
 */

const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };

function server(port: number, before = ''): string[] {
  return ['node', '-e', `${before}; require('node:http').createServer((_, a) => a.end()).listen(${port}, '127.0.0.1')`];
}

needs('linux', 'root', 'unshare').test('a full disk under the runtime directory ends no server', async () => {
  using made = serverFolder();
  const port = await freePort();
  const runtime = join(made.folder, 'run');
  mkdirSync(runtime);
  // Full before the first generation is ready, in a mount namespace of relisten's own.
  const fill = `try { require('node:fs').writeFileSync(process.env.RELISTEN_DIR + '/fill', Buffer.alloc(1 << 20)) } catch {}`;
  const mount = 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"';
  const under = ['unshare', '-m', 'sh', '-c', mount, runtime];
  await using run = new Supervised(server(port, fill), { runtime, under });
  await run.started();
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  for (let restart = 0; restart < 3; restart++) {
    expect((await run.restart()).generation).toBe(restart + 2);
    await clients.more(5);
  }
  await run.event('notice', ({ text }) => /^If relisten were killed now, .*: ENOSPC/.test(text));
  await run.event('notice', ({ text }) => /^Connections are not handed over to it: ENOSPC/.test(text));
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  expect((await run.stop()).signal).toBe('SIGTERM');
});

needs('linux', 'prlimit').test('too few descriptors while a restart is prepared do it no harm', async () => {
  const port = await freePort();
  await using run = await new Supervised(server(port), { args: ['--no-standby'] }).started();
  const limit = (soft: string) => execFileSync('prlimit', ['--pid', String(run.pid), `--nofile=${soft}:`]);
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  for (const more of [0, 2, 4, 6, 8]) {
    const { at } = await run.restart();
    limit(String(readdirSync(`/proc/${run.pid}/fd`).length + more));
    await run.until(() => Date.now() - at > 700);
    limit('1024');
    await clients.more(5);
  }
  expect((await run.restart()).generation).toBe(7);
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  expect(run.events.some(({ type }) => type === 'unintercepted')).toBe(false);
  expect(await run.stop()).toMatchObject({ left: [] });
});

needs('linux').test('a standby is not begun for a server that is being stopped', async () => {
  using made = serverFolder();
  const port = await freePort();
  const go = join(made.folder, 'go');
  // It ends when it is told to by a file, whatever its signals say.
  const hold = `process.on('SIGTERM', () => setInterval(() => require('node:fs').existsSync(${JSON.stringify(go)}) && process.exit(), 20))`;
  await using run = await new Supervised(server(port, hold), { args: ['--standby', '300ms'] }).started();
  run.kill('SIGTERM');
  const { at } = await run.event('state', ({ state }) => state === 'draining');
  await run.until(() => Date.now() - at > 1_000);
  expect(run.events.some(({ type }) => type === 'standby')).toBe(false);
  expect(existsSync(go)).toBe(false);
  writeFileSync(go, '');
  expect(await run.end()).toMatchObject({ left: [] });
});
