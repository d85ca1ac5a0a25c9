import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { needs } from '../tools.ts';
import { ask, httpGet } from './clients.ts';
import { freePort, NOBODY, type RunOptions, Supervised } from './harness.ts';
import { serverFolder } from './servers.ts';

/*
 * relisten is root, and the program is somebody else: whatever that does, it gets nothing done that only root may.
 */

const { test } = needs('linux', 'root');
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A runtime directory that others may pass. */
function openRuntime(folder: string): string {
  const runtime = join(folder, 'run');
  mkdirSync(runtime, { mode: 0o755 });
  return runtime;
}

/** Runs a script as nobody, which then serves. */
async function serve(script: string, options: RunOptions = {}): Promise<{ run: Supervised; port: number }> {
  const port = await freePort();
  const server = `require('node:http').createServer((_, answer) => answer.end()).listen(${port}, '127.0.0.1')`;
  const fs = `const fs = require('node:fs'), { RELISTEN_DIR, RELISTEN_GENERATION } = process.env;`;
  const args = ['--user', String(NOBODY), ...(options.args ?? [])];
  const run = new Supervised(['node', '-e', `${fs} ${script}; ${server}`], { ...options, args });
  await run.started();
  return { run, port };
}

/** A folder of root's in which nobody may do anything, with a file. */
function secretOf(folder: string): { folder: string; file: string } {
  const own = join(folder, 'secret');
  mkdirSync(own, { mode: 0o711 });
  const file = join(own, 'file');
  writeFileSync(file, 'of root', { mode: 0o600 });
  return { folder: own, file };
}

/** Every name that relisten has written, or might. */
const NAMES = `['ready.json', 'ready-1.json', 'ready-2.json', 'ready-3.json', 'notify-2.sock', 'notify-3.sock', 'x']`;

test('links in the private directory lead root nowhere', async () => {
  using made = serverFolder();
  const { folder, file } = secretOf(made.folder);
  const link = `for (const name of ${NAMES}) {
    const path = RELISTEN_DIR + '/' + name;
    try { fs.unlinkSync(path) } catch {}
    fs.symlinkSync(${JSON.stringify(file)}, path);
  }
  fs.symlinkSync(${JSON.stringify(folder)}, RELISTEN_DIR + '/directory-' + RELISTEN_GENERATION)`;
  const { run, port } = await serve(link, { runtime: openRuntime(made.folder) });
  await using _ = run;
  await run.restart();
  await run.restart();
  expect(await ask({ port, host: '127.0.0.1' }, httpGet)).toMatchObject({ fate: 'ok' });
  expect(await run.stop()).toMatchObject({ left: [] });
  expect(readFileSync(file, 'utf8')).toBe('of root');
  expect(statSync(file)).toMatchObject({ uid: 0, mode: 0o100600 });
});

test('directories in the private directory end nothing, and stay their owner’s', async () => {
  using made = serverFolder();
  const make = `for (const name of ${NAMES}) {
    const path = RELISTEN_DIR + '/' + name;
    try { fs.unlinkSync(path) } catch {}
    fs.mkdirSync(path, { recursive: true });
  }`;
  const { run, port } = await serve(make, { runtime: openRuntime(made.folder) });
  await using _ = run;
  await run.restart();
  await run.event('notice', ({ text }) => text.startsWith('Connections are not handed over to it: EISDIR'));
  expect(await ask({ port, host: '127.0.0.1' }, httpGet)).toMatchObject({ fate: 'ok' });
  const { left } = await run.stop();
  expect(left.filter(name => !/^file .*\.d(\/|$)/.test(name))).toEqual([]);
});

test('a directory that becomes a link between bind(2) and listen(2) leads root nowhere', async () => {
  using made = serverFolder();
  const { folder, file } = secretOf(made.folder);
  const path = join(made.folder, 'own', 'file');
  // bind(2) and listen(2) as two calls, and what no program would do in between.
  const swap = [
    'import os, socket, sys',
    'path, target = sys.argv[1:3]',
    'own = os.path.dirname(path)',
    'os.mkdir(own)',
    'listener = socket.socket(socket.AF_UNIX)',
    'listener.bind(path)',
    'os.rename(own, own + "2")',
    'os.symlink(target, own)',
    'listener.listen()',
    'sys.stderr.write("listens\\n")',
    'import signal; signal.pause()',
  ].join('\n');
  await using run = new Supervised(['/usr/bin/python3', '-c', swap, path, folder], {
    args: ['--user', String(NOBODY)],
  });
  await run.line(/^listens/);
  await run.event('state', ({ state }) => state === 'ready');
  expect(run.events.some(({ type }) => type === 'listening')).toBe(false);
  await run.stop();
  expect(readdirSync(folder)).toEqual(['file']);
  expect(readFileSync(file, 'utf8')).toBe('of root');
});

test('a server whose user cannot reach the runtime directory serves, without a handoff', async () => {
  using made = serverFolder();
  const runtime = join(made.folder, 'closed');
  mkdirSync(runtime, { mode: 0o700 });
  const { run, port } = await serve('', { runtime, args: ['--name', 'unreached'] });
  await using _ = run;
  await run.event('notice', ({ text }) => text.includes('cannot reach'));
  await run.restart();
  await run.restart();
  expect(await ask({ port, host: '127.0.0.1' }, httpGet)).toMatchObject({ fate: 'ok' });
  expect(run.events.some(event => event.type === 'backoff')).toBe(false);
  chmodSync(runtime, 0o755);
  expect(existsSync(join(runtime, 'relisten', 'unreached.d'))).toBe(true);
  await run.stop();
  expect(existsSync(join(runtime, 'relisten', 'unreached.d'))).toBe(false);
});

test('a hook that the user cannot read is left out, and relisten says so', async () => {
  using made = serverFolder();
  const port = await freePort();
  // relisten itself lies where only root may look; a bind mount, so that it is all of it.
  const closed = join(made.folder, 'closed');
  mkdirSync(closed, { mode: 0o700 });
  const mount = `mount -t tmpfs -o mode=700 tmpfs "$0" && mkdir "$0/copy" && mount --bind ${JSON.stringify(ROOT)} "$0/copy" && shift 2 && exec node "$0/copy/dist/cli/main.js" "$@"`;
  const script = `require('node:http').createServer((_, answer) => answer.end()).listen(${port}, '127.0.0.1')`;
  await using run = new Supervised(['node', '-e', script], {
    args: ['--user', String(NOBODY)],
    runtime: openRuntime(made.folder),
    under: ['unshare', '-m', 'sh', '-c', mount, closed],
  });
  await run.event('notice', ({ text }) => /^nobody cannot read .*hook\.cjs: the hook is left out/.test(text));
  await run.started();
  expect(await run.stop()).toMatchObject({ left: [] });
});
