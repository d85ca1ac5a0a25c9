import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { needs } from '../tools.ts';
import { ask, FreshClients, httpGet, type Tally } from './clients.ts';
import { NOBODY, type RunOptions, Supervised } from './harness.ts';
import { runListens, whoAnswered } from './listens.ts';
import { nginxConf, serverFolder } from './servers.ts';

const RESTARTS = 4;
const UNIX_JS = fileURLToPath(new URL('../fixtures/servers/unix.js', import.meta.url));

/** Clients the whole time; a path may be missing for the moment between the program's own unlink and bind. */
async function restartUnderClients(run: Supervised, path: string): Promise<Tally> {
  await run.started();
  const clients = new FreshClients({ path }, httpGet, 4);
  for (let restart = 0; restart < RESTARTS; restart++) {
    await run.restart();
    await clients.more(20);
  }
  return clients.stop();
}

interface Case {
  name: string;
  tools: string[];
  start(path: string, folder: string, options: RunOptions): Supervised;
}

const CASES: Case[] = [
  {
    name: 'a Python server that unlinks and binds',
    tools: ['python3'],
    start: (path, _folder, options) => runListens(`unix:${path}`, { ...options, env: { UNLINK: '1' } }),
  },
  {
    name: 'a Node server, which unlinks on close',
    tools: [],
    start: (path, _folder, options) => new Supervised([process.execPath, UNIX_JS, path], options),
  },
  {
    name: 'nginx, which unlinks at its end',
    tools: ['nginx'],
    start: (path, folder, options) =>
      new Supervised(['nginx', '-e', 'stderr', '-p', folder, '-c', nginxConf(`unix:${path}`, folder)], {
        ...options,
        args: ['--stop-signal', 'QUIT'],
      }),
  },
];

for (const { name, tools, start } of CASES) {
  for (const [who, options] of [
    ['root', {}],
    ['an ordinary user', { uid: NOBODY }],
  ] as const) {
    needs('linux', 'root', ...tools).test(`${name} keeps its socket reachable, as ${who}`, async () => {
      using made = serverFolder();
      const path = join(made.folder, 'app.sock');
      await using run = start(path, made.folder, options);
      const { ok, refused, reset, eof, timeout, other, details } = await restartUnderClients(run, path);
      expect({ reset, eof, timeout, other, details }).toMatchObject({ reset: 0, eof: 0, timeout: 0, other: 0 });
      expect(ok).toBeGreaterThan(50);
      // The instant between an unlink and its repair, on a machine that is busy.
      expect({ refused: refused <= 10 * RESTARTS, details }).toMatchObject({ refused: true });
      expect(await run.stop()).toMatchObject({ left: [] });
      expect(readdirSync(made.folder).filter(file => file.includes('app.sock'))).toEqual([]);
    });
  }
}

needs('linux', 'python3').test('an abstract socket is held as any other', async () => {
  const name = `relisten-test-${process.pid}`;
  await using run = runListens(`unix:@${name}`);
  expect(await restartUnderClients(run, `\0${name}`)).toMatchObject({ refused: 0, reset: 0, eof: 0, details: [] });
  expect(await run.stop()).toMatchObject({ left: [] });
});

needs('linux', 'python3').test('a server that leaves its stale path behind starts again all the same', async () => {
  using made = serverFolder();
  const path = join(made.folder, 'app.sock');
  await using run = runListens(`unix:${path}`);
  await run.started();
  const inode = statSync(path).ino;
  await run.restart();
  expect(statSync(path).ino).toBe(inode);
  expect(whoAnswered((await ask({ path }, httpGet)).answer).generation).toBe(2);
  expect(await run.stop()).toMatchObject({ left: [] });
  expect(existsSync(path)).toBe(false);
});
