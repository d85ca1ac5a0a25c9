import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { socketInodes } from '../../src/kernel/proc-fd.ts';
import { dumpTcp } from '../../src/kernel/sock-diag.ts';
import { needs } from '../tools.ts';
import { ask, FreshClients, httpGet, queueClients } from './clients.ts';
import { freePort, Supervised } from './harness.ts';
import { LISTENS_PY, runListens } from './listens.ts';
import { serverFolder } from './servers.ts';

const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };
const { test } = needs('linux', 'python3');
const LEAVES_WORKERS_PY = fileURLToPath(new URL('../fixtures/servers/leaves-workers.py', import.meta.url));

/** Whether a process has accepted a client at a port. */
function isConnected(pid: number, port: number): boolean {
  const open = socketInodes(pid);
  return dumpTcp({ localPort: port, states: ['ESTABLISHED'] }).some(({ inode }) => open.has(inode));
}

/** A server whose later generations do what the script says instead. */
function fromSecondOn(script: string): string[] {
  return ['sh', '-c', `[ "$RELISTEN_GENERATION" = 1 ] || { ${script}; }; exec python3 ${LISTENS_PY}`];
}

for (const [what, script, args, reason, exit] of [
  ['fails', 'seq 30 >&2; exit 3', [], /exited with 3/, { code: 3, signal: null }],
  ['ends by itself', 'exit 0', [], /exited with 0/, { code: 0, signal: null }],
  ['is killed', 'kill -9 $$', [], /was ended by SIGKILL/, { code: null, signal: 'SIGKILL' }],
  ['never listens', 'exec sleep 60', ['--ready-timeout', '2s'], /Not ready within 2 s: it never listened/, {}],
  ['cannot be ended', "trap '' TERM; sleep 60", ['--ready-timeout', '2s', '--drain', '300ms'], /Not ready/, {}],
] as const) {
  test(`a new generation that ${what} leaves the old one as it was`, async () => {
    const port = await freePort();
    await using run = runListens(`127.0.0.1:${port}`, { args: [...args] }, fromSecondOn(script));
    await run.started();
    const old = run.ready?.pid;
    const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
    run.kill('SIGHUP');
    const failed = await run.event('state', ({ state }) => state === 'failed');
    expect(failed).toMatchObject({ generation: 2, reason: expect.stringMatching(reason) });
    if ('code' in exit) expect(failed.exit).toEqual(exit);
    await clients.more(20);
    expect(await clients.stop()).toMatchObject(NOBODY_LOST);
    expect(run.family(old)).toContain(old);
    expect(run.ready?.generation).toBe(1);
    expect(await run.stop()).toMatchObject({ left: [] });
  });
}

test('who cannot run twice is told what to do, until two generations have run at once', async () => {
  using made = serverFolder();
  const port = await freePort();
  const lock = join(made.folder, 'lock');
  writeFileSync(lock, '');
  await using run = runListens(`127.0.0.1:${port}`, {}, fromSecondOn(`[ ! -e ${lock} ] || exit 1`));
  await run.started();
  run.kill('SIGHUP');
  const first = await run.event('state', ({ state }) => state === 'failed');
  expect(first.reason).toBe('exited with 1 (if it cannot run twice at once: --strategy stop-first)');
  rmSync(lock);
  await run.restart();
  writeFileSync(lock, '');
  run.kill('SIGHUP');
  const second = await run.event('state', ({ generation, state }) => state === 'failed' && generation === 4);
  expect(second.reason).toBe('exited with 1');
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a crash is answered at once, a second one after a pause, and clients wait meanwhile', async () => {
  const port = await freePort();
  await using run = runListens(`127.0.0.1:${port}`);
  await run.started();
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  for (const generation of [1, 2]) {
    await run.event('state', event => event.generation === generation && event.state === 'ready');
    await clients.more(10);
    process.kill(run.ready?.pid ?? 0, 'SIGKILL');
    await run.event('state', event => event.generation === generation && event.state === 'exited');
  }
  await run.event('state', event => event.generation === 3 && event.state === 'ready');
  await clients.more(10);
  const { refused, timeout, other, reset, eof } = await clients.stop();
  expect({ refused, timeout, other }).toEqual({ refused: 0, timeout: 0, other: 0 });
  expect(reset + eof).toBeLessThanOrEqual(2); // those that it was answering
  expect(run.events.filter(event => event.type === 'backoff')).toMatchObject([
    { delayMs: 0, failures: 1 },
    { failures: 2 },
  ]);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('requests during a restart become one restart that follows it', async () => {
  using made = serverFolder();
  const port = await freePort();
  const wait = join(made.folder, 'wait');
  await using run = runListens(`127.0.0.1:${port}`, {}, fromSecondOn(`while [ -e ${wait} ]; do sleep 0.02; done`));
  await run.started();
  writeFileSync(wait, '');
  run.kill('SIGHUP');
  await run.event('state', ({ generation }) => generation === 2);
  for (let request = 0; request < 5; request++) {
    run.kill('SIGHUP');
    run.kill('SIGUSR2');
  }
  rmSync(wait);
  await run.event('state', ({ generation, state }) => generation === 2 && state === 'exited');
  expect(run.events.filter(event => event.type === 'state' && event.state === 'starting')).toHaveLength(3);
  expect(run.ready?.generation).toBe(3);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('what relisten says begins a line of its own, also after half a line of the program', async () => {
  const port = await freePort();
  const script = `require('http').createServer().listen(${port}, '127.0.0.1', () => process.stderr.write('half'))`;
  await using run = new Supervised(['node', '-e', script]);
  await run.started();
  await run.restart();
  await run.restart();
  expect(await run.stop()).toMatchObject({ left: [] });
  expect(run.lines.filter(line => line.includes('half'))).toEqual(['half', 'half', 'half']);
});

test('workers that outlive their main process are told to stop, once they serve nobody', async () => {
  using made = serverFolder();
  const [port, hold] = [await freePort(), join(made.folder, 'hold')];
  await using run = new Supervised(['python3', LEAVES_WORKERS_PY, String(port), hold]);
  await run.started();
  const main = run.ready?.pid;
  await run.until(() => run.family(main).length === 3);
  writeFileSync(hold, '');
  const { outcome } = await queueClients({ port, host: '127.0.0.1' }, httpGet, 1);
  await run.until(() => run.family(main).some(pid => isConnected(pid, port)));
  run.kill('SIGHUP');
  await run.until(() => run.family(main).length === 1);
  expect(run.family(main).every(pid => isConnected(pid, port))).toBe(true);
  rmSync(hold);
  expect(await outcome).toMatchObject({ ok: 1 });
  await run.event('state', ({ generation, state }) => generation === 1 && state === 'exited');
  expect(await run.stop()).toMatchObject({ left: [] });
  expect(run.events.some(({ type }) => type === 'cut')).toBe(false);
});

test('the oldest of too many that drain is ended', async () => {
  const port = await freePort();
  const args = ['--max-draining', '2', '--stop-signal', 'SIGUSR1'];
  // A shell that ignores the signal is what its program inherits.
  const command = ['sh', '-c', `trap '' USR1; exec python3 ${LISTENS_PY}`];
  await using run = runListens(`127.0.0.1:${port}`, { args: [...args, '--drain', '20s'] }, command);
  await run.started();
  for (let generation = 2; generation <= 4; generation++) {
    run.kill('SIGHUP');
    await run.event('state', event => event.generation === generation && event.state === 'ready');
  }
  await run.event('state', event => event.generation === 1 && event.state === 'exited');
  expect(run.events).toContainEqual(expect.objectContaining({ type: 'cut', generation: 1 }));
  expect(run.events.some(event => event.type === 'state' && event.state === 'exited' && event.generation > 1)).toBe(
    false,
  );
  run.look();
  run.kill('SIGTERM');
  await run.event('notice', ({ text }) => text.startsWith('still draining'));
  run.kill('SIGTERM'); // again: at once
  expect(await run.end()).toMatchObject({ left: [] });
});

for (const [what, command, code] of [
  ['does not exist', ['/nonexistent/server'], 127],
  ['is not executable', [LISTENS_PY], 126],
  ['fails', ['sh', '-c', 'exit 7'], 7],
  ['is ended by a signal', ['sh', '-c', 'kill -9 $$'], 137],
  ['has nothing to do', ['true'], 0],
] as const) {
  test(`a command that ${what} ends relisten with ${code}`, async () => {
    await using run = new Supervised([...command]);
    expect(await run.end()).toMatchObject({ code, signal: null, left: [] });
  });
}

/** Fails when its first client comes. */
function failsSoon(port: number): string[] {
  return ['node', '-e', `require('node:http').createServer(() => process.exit(6)).listen(${port})`];
}

test('a first start that fails a moment after it was ready ends relisten with its code', async () => {
  const port = await freePort();
  await using run = await new Supervised(failsSoon(port)).started();
  await ask({ port, host: '127.0.0.1' }, httpGet);
  expect(await run.end()).toEqual({ code: 6, signal: null, left: [] });
  expect(run.events.filter(({ type }) => type === 'backoff')).toEqual([]);
});

test('with --watch, a first start that fails a moment after it was ready waits for somebody to mend it', async () => {
  const port = await freePort();
  await using run = await new Supervised(failsSoon(port), { args: ['--watch', 'nothing'] }).started();
  await ask({ port, host: '127.0.0.1' }, httpGet);
  await run.event('notice', ({ text }) => text.startsWith('Waiting for a change'));
  expect(run.events.filter(({ type }) => type === 'backoff')).toEqual([]);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('with --watch, a command that ends with 0 before it listens waits for somebody to make a server of it', async () => {
  await using run = new Supervised(['true'], { args: ['--watch', 'nothing'] });
  await run.event('notice', ({ text }) => text.startsWith('Waiting for a change'));
  run.kill('SIGHUP');
  await run.event('state', ({ generation, state }) => generation === 2 && state === 'failed');
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('relisten that is told to end drains its server, and ends as it did', async () => {
  const port = await freePort();
  await using run = runListens(`127.0.0.1:${port}`);
  await run.started();
  expect(await run.stop()).toEqual({ code: 0, signal: null, left: [] });
  expect(existsSync(`/proc/${run.ready?.pid}`)).toBe(false);
});

test('a directory that is a link, and was switched to the next release, is where the next generation runs', async () => {
  using made = serverFolder();
  const [port, current] = [await freePort(), join(made.folder, 'current')];
  for (const release of ['one', 'two']) {
    mkdirSync(join(made.folder, release));
    const server = `require('node:http').createServer((_, a) => a.end('${release}')).listen(${port}, '127.0.0.1')`;
    writeFileSync(join(made.folder, release, 'server.cjs'), server);
  }
  symlinkSync('one', current);
  const under = ['sh', '-c', 'cd "$0" && exec "$@"', current];
  await using run = await new Supervised(['node', 'server.cjs'], { under }).started();
  const answer = async () => (await fetch(`http://127.0.0.1:${port}/`, { headers: { Connection: 'close' } })).text();
  expect(await answer()).toBe('one');
  symlinkSync('two', `${current}.new`);
  renameSync(`${current}.new`, current);
  await run.restart();
  expect(await answer()).toBe('two');
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a generation that was killed leaves nothing in the private directory', async () => {
  const server = `require('node:http').createServer().listen(${await freePort()})`;
  await using run = new Supervised([process.execPath, '-e', server], { args: ['--name', 'web'] });
  await run.started();
  const left = () =>
    readdirSync(join(run.runtime, 'relisten/web.d')).filter(name => /^(handoff|loading)-1-/.test(name));
  await run.until(() => left().length > 0);
  process.kill(run.ready?.pid ?? 0, 'SIGKILL');
  await run.event('state', ({ generation, state }) => generation === 2 && state === 'ready');
  await run.until(() => left().length === 0);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a restart that fails for the port of the generation before says so where bind is not intercepted', async () => {
  await using run = runListens(`127.0.0.1:${await freePort()}`, { args: ['--no-intercept'] });
  await run.started();
  run.kill('SIGHUP');
  const { reason } = await run.event('state', ({ state }) => state === 'failed');
  expect(reason).toBe(
    'exited with 1; bind(2) is not intercepted here, so generation 1 keeps the port: name it with -p, or take --strategy stop-first',
  );
  expect(await run.stop()).toMatchObject({ left: [] });
});
