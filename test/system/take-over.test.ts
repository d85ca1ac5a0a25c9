import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, vi } from 'vitest';
import { allProcessIds, processIds } from '../../src/kernel/process.ts';
import { dumpTcp } from '../../src/kernel/sock-diag.ts';
import { deadServer } from '../fixtures/leftover.ts';
import { relisten } from '../fixtures/relisten.ts';
import { needs } from '../tools.ts';
import { FreshClients, httpGet } from './clients.ts';
import { freePort, NOBODY, Supervised } from './harness.ts';
import { LISTENS, runListens } from './listens.ts';
import { serverFolder } from './servers.ts';

const FINISHES_PY = fileURLToPath(new URL('../fixtures/servers/finishes.py', import.meta.url));
const PECULIAR_PY = fileURLToPath(new URL('../fixtures/servers/peculiar.py', import.meta.url));
const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };
const { test } = needs('linux', 'python3', 'root');

/** A server that is no child of relisten's, by default at a port that the kernel chose. */
class Stranger {
  port = 0;
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;

  constructor({ uid = 0, listens = '127.0.0.1:0', workers = 0 } = {}) {
    const [, ...args] = LISTENS;
    // Debian's own, which every user may run.
    this.child = spawn('/usr/bin/python3', args, {
      env: { ...process.env, LISTENS: listens, WORKERS: String(workers), READY: '1' },
      stdio: ['ignore', 'inherit', 'pipe'],
      uid,
      gid: uid,
      detached: true, // its master signals its process group
    });
    this.ended = once(this.child, 'exit');
  }

  async serving(): Promise<this> {
    const { stderr } = this.child;
    if (!stderr) throw new Error('no pipe');
    for await (const line of createInterface({ input: stderr })) {
      this.port ||= Number(/^bound (\d+)/.exec(line)?.[1] ?? 0);
      if (line === 'serving') return this;
    }
    throw new Error('the server ended');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) process.kill(-(this.child.pid ?? 0), 'SIGKILL');
    await this.ended;
  }
}

for (const [who, uid] of [
  ['root', 0],
  ['an ordinary user', NOBODY],
] as const) {
  test(`a live server is replaced without a client noticing, as ${who}`, async () => {
    await using stranger = await new Stranger({ uid }).serving();
    const { port } = stranger;
    const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
    await clients.more(5);
    await using take = runListens(`127.0.0.1:${port}`, { verb: ['take', String(port)], uid });
    await take.event('state', ({ generation, state }) => generation === 1 && state === 'ready');
    await stranger.ended;
    await clients.more(20);
    await take.restart();
    await clients.more(20);
    expect(await clients.stop()).toMatchObject(NOBODY_LOST);
    expect(await take.stop()).toMatchObject({ left: [] });
  });
}

test('all that a live server listens on is taken with it', async () => {
  using made = serverFolder();
  const [port, other] = [await freePort(), await freePort()];
  const listens = `127.0.0.1:${port} 127.0.0.1:${other} unix:${join(made.folder, 'web.sock')}`;
  await using stranger = await new Stranger({ listens }).serving();
  const clients = [port, other].map(each => new FreshClients({ port: each, host: '127.0.0.1' }, httpGet));
  await using take = runListens(listens, { verb: ['take', String(other)], env: { UNLINK: '1' } });
  await take.event('state', ({ generation, state }) => generation === 1 && state === 'ready');
  await stranger.ended;
  for (const each of clients) await each.more(20);
  for (const each of clients) expect(await each.stop()).toMatchObject(NOBODY_LOST);
  expect(new Set(take.events.flatMap(event => (event.type === 'held' ? event.address : [])))).toEqual(
    new Set([`127.0.0.1:${port}`, `127.0.0.1:${other}`, join(made.folder, 'web.sock')]),
  );
  expect(await take.stop()).toMatchObject({ left: [] });
});

test('workers that each open a listener of their own are one server, which their master is', async () => {
  const port = await freePort();
  const listens = `+127.0.0.1:${port}`;
  await using stranger = new Stranger({ listens, workers: 2 });
  await vi.waitFor(() => expect(dumpTcp({ localPort: port, states: ['LISTEN'] })).toHaveLength(2), 10_000);
  await using take = runListens(listens, { verb: ['take', String(port)], env: { WORKERS: '2' } });
  const taken = await take.event('state', ({ generation, state }) => generation === 0 && state === 'ready');
  expect(taken.pid).toBe(stranger.child.pid);
  await take.event('state', ({ generation, state }) => generation === 1 && state === 'ready');
  await stranger.ended;
  expect(await take.stop()).toMatchObject({ left: [] });
});

test('servers that share a port are not taken for one', async () => {
  const listens = `+127.0.0.1:${await freePort()}`;
  await using one = await new Stranger({ listens }).serving();
  await using other = await new Stranger({ listens }).serving();
  await using take = runListens(listens, { verb: ['take', String(one.port)] });
  expect(await take.end()).toEqual({ code: 1, signal: null, left: [] });
  const said = take.lines.join('\n');
  expect(said).toContain(`Cannot take ${one.port}: several servers listen there`);
  for (const { child } of [one, other]) {
    expect(said).toContain(`(pid ${child.pid})`);
    expect(child.exitCode).toBeNull();
  }
});

test('what of a live server cannot be held is said, and is no reason not to take it', async () => {
  using made = serverFolder();
  const path = join(made.folder, 'web.sock');
  const port = await freePort();
  const listens = `127.0.0.1:${port} unix:${path}`;
  await using stranger = await new Stranger({ listens }).serving();
  unlinkSync(path);
  await using take = runListens(listens, { verb: ['take', String(port)] });
  await take.event('notice', ({ text }) => text.startsWith(`It listens on ${path}, too, which cannot be held`));
  await take.event('state', ({ generation, state }) => generation === 1 && state === 'ready');
  await stranger.ended;
  expect(await take.stop()).toMatchObject({ left: [] });
});

test('a live server goes on untouched when what should take its place fails', async () => {
  await using stranger = await new Stranger().serving();
  const { port } = stranger;
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  await using take = new Supervised(['sh', '-c', 'exit 4'], { verb: ['take', `127.0.0.1:${port}`] });
  const end = await take.end();
  expect(end, take.transcript()).toEqual({ code: 4, signal: null, left: [] });
  await clients.more(20);
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  expect(stranger.child.exitCode).toBeNull();
});

test('a live server goes on untouched when relisten is told to stop before the other one is ready', async () => {
  await using stranger = await new Stranger().serving();
  const { port } = stranger;
  await using take = new Supervised(['sleep', '60'], { verb: ['take', String(port)] });
  await take.event('state', ({ generation, state }) => generation === 1 && state === 'starting');
  expect(await take.stop()).toMatchObject({ left: [] });
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  await clients.more(5);
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  expect(stranger.child.exitCode).toBeNull();
});

test('a command that shuts its listener down leaves a live server its own when the take is given up', async () => {
  await using stranger = await new Stranger().serving();
  const { port } = stranger;
  const verb = ['take', '--ready-line', '/never/', String(port)];
  await using take = new Supervised(['python3', PECULIAR_PY, String(port), 'shutdown'], { verb });
  await take.line(/^listens$/);
  expect(await take.stop()).toMatchObject({ left: [] });
  expect(take.lines).toContain('shut down');
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  await clients.more(5);
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
});

test('there is nothing to take where nobody listens', async () => {
  const port = await freePort();
  await using take = new Supervised(['sleep', '60'], { verb: ['take', String(port)] });
  expect(await take.end()).toEqual({ code: 1, signal: null, left: [] });
  expect(take.lines.join('\n')).toContain(`Cannot take ${port}: nothing listens there`);
});

test("another user's server is not for an ordinary user to take", async () => {
  await using stranger = await new Stranger().serving();
  const { port } = stranger;
  await using take = new Supervised(['sleep', '60'], { verb: ['take', String(port)], uid: NOBODY });
  expect(await take.end()).toEqual({ code: 1, signal: null, left: [] });
  expect(take.lines.join('\n')).toMatch(new RegExp(`Cannot take ${port}`));
  expect(stranger.child.exitCode).toBeNull();
});

test('what a relisten holds is not taken from it', async () => {
  const port = await freePort();
  await using run = await runListens(`127.0.0.1:${port}`).started();
  await using take = new Supervised(['sleep', '60'], { verb: ['take', String(port)] });
  expect(await take.end()).toMatchObject({ code: 1, left: [] });
  expect(take.lines.join('\n')).toContain('a relisten holds it already');
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a server whose relisten was killed goes on, and the next relisten of that name restarts it', async () => {
  const port = await freePort();
  const named = { args: ['--name', 'web'] };
  await using killed = await runListens(`127.0.0.1:${port}`, named).started();
  const orphan = killed.ready?.pid ?? 0;
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  await clients.more(10);
  killed.kill('SIGKILL');
  await clients.more(10);
  await using next = runListens(`127.0.0.1:${port}`, { ...named, runtime: killed.runtime });
  const ready = await next.event('state', ({ generation, state }) => generation === 2 && state === 'ready');
  await next.event('state', ({ generation, state }) => generation === 1 && state === 'exited');
  expect(ready.pid).not.toBe(orphan);
  await clients.more(20);
  await next.restart();
  await clients.more(10);
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  expect(await next.stop()).toMatchObject({ left: [] });
});

test('a generation that was starting when its relisten was killed is ended by the next one', async () => {
  const port = await freePort();
  const named = { args: ['--name', 'web'] };
  // The second one never comes to listen.
  const script = `[ $RELISTEN_GENERATION = 2 ] && { touch $0; exec sleep 600; }; exec python3 ${LISTENS[1]}`;
  using made = serverFolder();
  const begun = join(made.folder, 'begun');
  const command = ['sh', '-c', script, begun];
  await using killed = await runListens(`127.0.0.1:${port}`, named, command).started();
  killed.kill('SIGHUP');
  const { pid } = await killed.event('spawned', ({ generation }) => generation === 2);
  await killed.until(() => existsSync(begun));
  killed.kill('SIGKILL');
  await killed.until(() => processIds(killed.pid)?.zombie !== false);
  await using next = runListens(`127.0.0.1:${port}`, { ...named, runtime: killed.runtime }, command);
  await next.event('state', ({ generation, state }) => generation === 2 && state === 'exited');
  expect(processIds(pid)?.zombie).not.toBe(false); // nobody need have reaped it yet
  await next.event('state', ({ generation, state }) => generation === 3 && state === 'ready');
  await next.event('state', ({ generation, state }) => generation === 1 && state === 'exited');
  expect(await next.stop()).toMatchObject({ left: [] });
});

test('a generation that was finishing when its relisten was killed is not told to end a second time', async () => {
  const named = { args: ['--name', 'web'] };
  using made = serverFolder();
  const file = (name: string) => join(made.folder, name);
  const command = ['python3', FINISHES_PY, `127.0.0.1:${await freePort()}`, made.folder];
  await using killed = await new Supervised(command, named).started();
  const { pid } = await killed.event('spawned');
  killed.kill('SIGHUP');
  await killed.until(() => existsSync(file('finishing')));
  killed.kill('SIGKILL');
  await killed.until(() => processIds(killed.pid)?.zombie !== false);
  await using next = new Supervised(command, { ...named, runtime: killed.runtime });
  await next.event('state', ({ generation, state }) => generation === 2 && state === 'exited');
  writeFileSync(file('finish'), '');
  await next.until(() => processIds(Number(pid))?.zombie !== false);
  expect(readFileSync(file('finishing'), 'utf8')).toBe('told once\n');
  expect(await next.stop()).toMatchObject({ left: [] });
});

test('what a killed relisten has left is named until somebody takes over from it', async () => {
  const port = await freePort();
  const named = { args: ['--name', 'web'] };
  await using killed = await runListens(`127.0.0.1:${port}`, named).started();
  const env = { ...process.env, XDG_RUNTIME_DIR: killed.runtime };
  const left = `web was left by a relisten that was killed: pid ${killed.ready?.pid} serves on 127.0.0.1:${port}; \`relisten run --name web`;
  expect((await relisten(['list'], { env })).stderr).toBe('');
  killed.kill('SIGKILL');
  await vi.waitFor(async () => expect((await relisten(['list'], { env })).stderr).toContain(left), 10_000);
  expect(await relisten(['restart'], { env })).toMatchObject({ code: 1, stderr: expect.stringContaining(left) });
  expect(await relisten(['stop', 'web'], { env })).toMatchObject({ code: 1, stderr: expect.stringContaining(left) });
  expect((await relisten(['stop', 'other'], { env })).stderr).not.toContain(left);
  expect((await relisten(['why', String(port)], { env })).stdout).toContain(left);
  await using next = runListens(`127.0.0.1:${port}`, { ...named, runtime: killed.runtime });
  await next.event('state', ({ generation, state }) => generation === 2 && state === 'ready');
  expect((await relisten(['list'], { env })).stderr).toBe('');
  expect(await next.stop()).toMatchObject({ left: [] });
});

const LATE_BIND = ['python3', fileURLToPath(new URL('../fixtures/servers/late-bind.py', import.meta.url))];

/** Undefined before there is one, and after it. */
function guardianOf(server: number): number | undefined {
  return allProcessIds().find(({ pid, zombie }) => !zombie && titleOf(pid) === `relisten guardian of ${server}`)?.pid;
}

function titleOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0')[0];
  } catch {
    return undefined;
  }
}

test('after relisten was killed, a later bind of its server is answered, its output goes on, and the guardian ends with it', async () => {
  const port = await freePort();
  await using run = new Supervised(LATE_BIND, { env: { PORT: String(port) } });
  await run.started();
  const server = run.ready?.pid ?? 0;
  run.kill('SIGKILL');
  await run.until(() => guardianOf(server) !== undefined);
  process.kill(server, 'SIGUSR1');
  expect(await run.line(/late bind/)).toBe('late bind: ok');
  process.kill(server, 'SIGKILL');
  await run.end();
  await vi.waitFor(() => expect(guardianOf(server)).toBeUndefined());
});

test('without its guardian, too, it serves on, and a later bind fails at once instead of waiting for nobody', async () => {
  const port = await freePort();
  await using run = new Supervised(LATE_BIND, { env: { PORT: String(port) } });
  await run.started();
  const server = run.ready?.pid ?? 0;
  run.kill('SIGKILL');
  await run.until(() => guardianOf(server) !== undefined);
  process.kill(guardianOf(server) ?? 0, 'SIGKILL');
  expect(await ask(port)).toBe('no late bind\n');
  process.kill(server, 'SIGUSR1');
  await vi.waitFor(async () => expect(await ask(port)).toBe('late bind: Function not implemented\n'));
  process.kill(server, 'SIGKILL');
  await run.end();
});

test('a bind that waits when relisten is killed is answered as if nobody had looked', async () => {
  // TIME_WAIT, for a minute.
  const { host, port } = deadServer();
  const script = [
    'import socket, sys',
    'server = socket.socket()',
    'try:',
    `  server.bind((${JSON.stringify(host)}, ${port}))`,
    'except OSError as error:',
    '  sys.exit(f"bind: {error.strerror}")',
  ].join('\n');
  await using run = new Supervised(['python3', '-c', script]);
  await run.event('waiting');
  run.look();
  run.kill('SIGKILL');
  expect(await run.line(/^bind/)).toBe('bind: Address already in use');
  await run.end();
});

async function ask(port: number): Promise<string> {
  const client = connect(port, '127.0.0.1');
  let answer = '';
  for await (const chunk of client) answer += String(chunk);
  return answer;
}
