import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { KeepAlive } from '../fixtures/keep-alive.ts';
import { freePort, listensNoMore, Supervised } from '../fixtures/supervised.ts';

const HOOK = fileURLToPath(new URL('../../dist/hook/hook.cjs', import.meta.url));
const EMPTY = fileURLToPath(new URL('../fixtures/empty.cjs', import.meta.url));
const PROGRAM = fileURLToPath(new URL('../fixtures/programs/http.cjs', import.meta.url));

/** For a program: calls back when the hook has loaded all and receives, which its socket shows. */
const ONCE_LOADED = `
  const onceLoaded = act => require('node:fs').readdirSync(process.env.RELISTEN_DIR).some(name => /^handoff-.*sock$/.test(name))
    ? act() : setTimeout(onceLoaded, 5, act)`;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function supervise(args: string[], supervise: object = {}): Promise<{ supervised: Supervised; port: number }> {
  const port = await freePort();
  const supervised = new Supervised(['node', PROGRAM, ...args], { env: { PORT: String(port) }, supervise });
  cleanups.push(() => supervised.stop());
  await supervised.ready();
  return { supervised, port };
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'hook-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function connect(port: number): Promise<KeepAlive> {
  const client = await KeepAlive.open(port);
  cleanups.push(() => client.destroy());
  return client;
}

describe('a program that was not changed', () => {
  test.each([
    ['in the main thread', 'here'],
    ['in a worker thread', 'thread'],
    ['in workers of a cluster, round robin', 'cluster'],
    ['in workers of a cluster, without it', 'cluster-none'],
  ])('keeps its idle connections across restarts, listening %s', async (_, where) => {
    const { supervised, port } = await supervise(['nothing', where]);
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect(port)));
    for (let generation = 1; generation <= 3; generation++) {
      const answers = await Promise.all(clients.map(client => client.request('/x')));
      expect(new Set(answers)).toEqual(new Set([`${generation} GET /x`]));
      await supervised.restart();
      expect(await supervised.exited(generation)).toEqual({ code: null, signal: 'SIGTERM' });
    }
    expect(await Promise.all(clients.map(client => client.request('/y')))).toContain('4 GET /y');
    expect(clients.filter(client => client.closed)).toEqual([]);
  });

  test.each([
    ['in the main thread', 'here'],
    ['in a worker thread', 'thread'],
    ['in workers of a cluster, round robin', 'cluster'],
    ['in workers of a cluster, without it', 'cluster-none'],
  ])('does so where each generation stood by before, listening %s', async (_, where) => {
    const { supervised, port } = await supervise(['nothing', where], { standbyMs: 0 });
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect(port)));
    for (let generation = 1; generation <= 3; generation++) {
      const [answer] = await Promise.all(clients.map(client => client.request('/x')));
      expect(answer).toBe(`${generation} GET /x`);
      await supervised.stoodBy();
      await supervised.restart();
      expect(await supervised.exited(generation)).toEqual({ code: null, signal: 'SIGTERM' });
    }
    expect(await Promise.all(clients.map(client => client.request('/y')))).toContain('4 GET /y');
    expect(clients.filter(client => client.closed)).toEqual([]);
    const of = (type: string) => supervised.told.filter(told => told.type === type).map(({ pid }) => pid);
    expect(of('spawned').slice(1)).toEqual(of('standby').slice(0, 3));
  });

  test.each([
    ['disconnect', 'cluster', 'calls cluster.disconnect()', { code: 0, signal: null }],
    ['disconnect', 'cluster-none', 'calls cluster.disconnect()', { code: 0, signal: null }],
    ['leave', 'cluster', 'has workers that disconnect themselves', { code: null, signal: 'SIGTERM' }],
    ['leave', 'cluster-none', 'has workers that disconnect themselves', { code: null, signal: 'SIGTERM' }],
    ['kill', 'cluster', 'has workers that kill themselves', { code: null, signal: 'SIGTERM' }],
  ])('and %s, in a %s that %s, keeps them too', async (onSignal, where, _, exit) => {
    const { supervised, port } = await supervise([onSignal, where]);
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect(port)));
    for (let generation = 1; generation <= 3; generation++) {
      const [answer] = await Promise.all(clients.map(client => client.request('/x')));
      expect(answer).toBe(`${generation} GET /x`);
      await supervised.restart();
      expect(await supervised.exited(generation)).toEqual(exit);
    }
    expect(await clients[0]?.request('/y')).toBe('4 GET /y');
    expect(clients.filter(client => client.closed)).toEqual([]);
  });

  test.each([
    ['which does nothing on the stop signal', 'nothing', 'the primary', { code: null, signal: 'SIGTERM' }],
    ['which calls cluster.disconnect()', 'disconnect', 'the primary', { code: 0, signal: null }],
    ['whose workers disconnect themselves', 'leave', 'all', { code: null, signal: 'SIGTERM' }],
    ['whose workers kill themselves', 'kill', 'all', { code: null, signal: 'SIGTERM' }],
  ])('has a primary %s, and passes on what it has accepted for busy workers', async (_, onSignal, told, exit) => {
    const { supervised, port } = await supervise([onSignal, 'cluster']);
    const { pid = 0 } = await supervised.until(({ type }) => type === 'spawned');
    const go = join(temporaryFolder(), 'go');
    const isUp = (path: string) => connect(port).then(client => client.request(path));
    // Whoever listens first has both until the other does.
    let pids = new Set<string>();
    while (pids.size < 2) pids = new Set(await Promise.all(['/pid', '/pid'].map(isUp)));
    const blocked = [isUp(`/until${go}`), isUp(`/until${go}`)];
    const clients = await Promise.all(Array.from({ length: 6 }, () => connect(port)));
    const answers = clients.map(client => client.request('/x'));
    await supervised.restart();
    await listensNoMore(port, pid);
    if (told === 'all') for (const pid of pids) process.kill(Number(pid.split(' ').at(-1)), 'SIGTERM');
    writeFileSync(go, '');
    const all = await Promise.all([...blocked, ...answers]);
    expect(all.filter(answer => /^[12] GET /.test(answer))).toHaveLength(8);
    expect(await supervised.exited(1)).toEqual(exit);
  });

  test('finishes what is in flight, and keeps that connection too', async () => {
    const { supervised, port } = await supervise([]);
    const client = await connect(port);
    const slow = client.request('/slow');
    await supervised.restart();
    expect(await slow).toBe('1 GET /slow');
    await supervised.exited(1);
    expect(await client.request('/next')).toBe('2 GET /next');
  });

  test('hears of the stop signal when nothing is in use any more', async () => {
    const { supervised, port } = await supervise(['refuse']);
    const { pid = 0 } = await supervised.until(({ type }) => type === 'spawned');
    const [busy, idle] = [await connect(port), await connect(port)];
    expect(await idle.request('/x')).toBe('1 GET /x');
    const slow = busy.request('/slow');
    const stopped = supervised.stop();
    await listensNoMore(port, pid);
    // Wrappers such as npm send it twice.
    process.kill(pid, 'SIGTERM');
    expect(await idle.request('/y')).toBe('1 GET /y');
    expect(await slow).toBe('1 GET /slow');
    await stopped;
    expect(await supervised.exited(1)).toEqual({ code: 7, signal: null });
  });

  test('passes on to another server of its own what it has still to answer', async () => {
    const { supervised, port } = await supervise(['pass-on']);
    const [idle, busy] = [await connect(port), await connect(port)];
    expect(await idle.request('/x')).toBe('1 GET /x');
    const passedOn = busy.request('/inner');
    await supervised.restart();
    expect(await passedOn).toBe('from within');
    expect(await supervised.exited(1)).toEqual({ code: null, signal: 'SIGTERM' });
    expect(await Promise.all([idle.request('/y'), busy.request('/y')])).toEqual(['2 GET /y', '2 GET /y']);
    expect(supervised.stderr).toBe('');
  });

  test('hears of it in time to end what only it can end', async () => {
    const { supervised, port } = await supervise(['cut'], { drainMs: 30_000 });
    const never = (await connect(port)).request('/never').catch((error: Error) => error.message);
    await supervised.stop();
    expect(await never).toMatch(/closed|ECONNRESET/);
    expect(await supervised.exited(1)).toEqual({ code: 7, signal: null });
  });

  // Five seconds is what a drain grants by itself.
  test('keeps an idle connection for a moment only where nobody is ready to have it', async () => {
    const { supervised, port } = await supervise([]);
    const client = await connect(port);
    expect(await client.request('/x')).toBe('1 GET /x');
    const since = performance.now();
    await supervised.stop();
    expect(client.closed).toBe(true);
    expect(performance.now() - since).toBeLessThan(4_000);
  });

  test('adopts its listener by number where nothing is intercepted', async () => {
    const port = await freePort();
    const ports = [{ address: { host: '127.0.0.1', port } }];
    const supervised = new Supervised(['node', PROGRAM], {
      env: { PORT: String(port) },
      supervise: { intercept: false, ports },
    });
    cleanups.push(() => supervised.stop());
    await supervised.ready();
    const client = await connect(port);
    expect(await client.request('/1')).toBe('1 GET /1');
    await supervised.restart();
    await supervised.exited(1);
    expect(await client.request('/2')).toBe('2 GET /2');
  });
});

describe('a program that listens to the signal itself', () => {
  test.each([
    ['closes its server, and exits then', 'close', { code: 7, signal: null }],
    ['closes its server and its idle connections', 'close-all', { code: 7, signal: null }],
    ['exits at once', 'exit', { code: 7, signal: null }],
    ['closes its server, and ends by itself', 'once', { code: 0, signal: null }],
    ['closes its server some time later', 'later', { code: 7, signal: null }],
    ['waits for its server to be closed', 'in-turn', { code: 7, signal: null }],
    ['asks first whether its server listens', 'ask-first', { code: 7, signal: null }],
    ['counts its connections', 'count', { code: 7, signal: null }],
    ['disposes of its server', 'dispose', { code: 7, signal: null }],
    ['throws an exception, which it handles', 'throw', { code: 7, signal: null }],
    ['raises the signal again', 're-raise', { code: null, signal: 'SIGTERM' }],
  ])('and %s loses no connection, and ends as it says', async (_, onSignal, exit) => {
    const { supervised, port } = await supervise([onSignal]);
    const [idle, busy] = [await connect(port), await connect(port)];
    expect(await idle.request('/1')).toBe('1 GET /1');
    const slow = busy.request('/slow');
    await supervised.restart();
    expect(await slow).toBe('1 GET /slow');
    expect(await supervised.exited(1)).toEqual(exit);
    expect(await Promise.all([idle.request('/2'), busy.request('/2')])).toEqual(['2 GET /2', '2 GET /2']);
  });
});

describe('a process that is told to stop by its first request, when nothing is loaded yet', () => {
  const program = (onSignal: string) => `
    const server = require('node:http').createServer((request, response) => {
      process.kill(process.pid, 'SIGTERM');
      setTimeout(() => response.end('whole'), 50);
    });
    ${onSignal}
    server.listen(0, '127.0.0.1', () => fetch('http://127.0.0.1:' + server.address().port)
      .then(response => response.text()).then(console.log, console.log));`;

  test.each<[string, string, object, NodeJS.ProcessEnv?]>([
    ['no listener of its own', '', { status: null, signal: 'SIGTERM' }],
    ['a stop signal that nobody hears', '', { status: null, signal: 'SIGTERM' }, { RELISTEN_STOP_SIGNAL: 'SIGKILL' }],
    ['one that exits', "process.on('SIGTERM', () => process.exit(7))", { status: 7, signal: null }],
    [
      'one that closes',
      "process.on('SIGTERM', () => server.close(() => process.exit(7)))",
      { status: 7, signal: null },
    ],
  ])('answers it all the same, with %s', (_, onSignal, end, more) => {
    const env = { ...process.env, RELISTEN_DIR: temporaryFolder(), RELISTEN_GENERATION: '1', ...more };
    const run = spawnSync(process.execPath, ['-r', HOOK, '-e', program(onSignal)], { env, encoding: 'utf8' });
    expect(run).toMatchObject({ ...end, stdout: 'whole\n', stderr: '' });
  });
});

describe('a program that raises the signal again', () => {
  const program = (turns: number) => `
    const server = require('node:http').createServer((_, response) => response.end());
    const onSignal = () => server.close(() => later(${turns}));
    const later = turns => {
      if (turns > 0) return setImmediate(later, turns - 1);
      process.off('SIGTERM', onSignal);
      process.kill(process.pid, 'SIGTERM');
    };
    process.on('SIGTERM', onSignal);
    ${ONCE_LOADED}
    server.listen(0, () => onceLoaded(() => process.kill(process.pid, 'SIGTERM')));`;

  test.each([0, 1, 2, 3, 4])('%i turns of the event loop after its server has closed ends by it', turns => {
    const env = { ...process.env, RELISTEN_DIR: temporaryFolder(), RELISTEN_GENERATION: '1' };
    const run = spawnSync(process.execPath, ['-r', HOOK, '-e', program(turns)], { env, encoding: 'utf8' });
    expect(run).toMatchObject({ status: null, signal: 'SIGTERM', stderr: '' });
  });
});

test('a program whose hook has lost its files serves all the same, and says so', () => {
  const alone = join(temporaryFolder(), 'hook.cjs');
  copyFileSync(HOOK, alone);
  const program = `
    const server = require('node:http').createServer((_, response) => response.end('whole'));
    server.listen(0, '127.0.0.1', () => fetch('http://127.0.0.1:' + server.address().port)
      .then(response => response.text()).then(text => { console.log(text); process.exit(); }));`;
  const env = { ...process.env, RELISTEN_DIR: temporaryFolder(), RELISTEN_GENERATION: '1' };
  const run = spawnSync(process.execPath, ['-r', alone, '-e', program], { env, encoding: 'utf8' });
  expect(run).toMatchObject({ status: 0, stdout: 'whole\n' });
  expect(run.stderr).toMatch(/RelistenWarning: The relisten hook does not work here: .*begin\.cjs/);
});

test('Deno, which loads it too, and ends who reads a variable without the right to, is left alone', () => {
  const deno = join(temporaryFolder(), 'deno.cjs');
  writeFileSync(
    deno,
    `Object.defineProperty(process, 'versions', { value: { ...process.versions, deno: '2.9.6' } });
    const get = (env, name) => {
      if (/^(NODE|RELISTEN)_/.test(String(name))) throw new Error(\`Requires env access to "\${name}"\`);
      return Reflect.get(env, name);
    };
    process.env = new Proxy(process.env, { get });`,
  );
  const env = { ...process.env, RELISTEN_DIR: '/nowhere', RELISTEN_GENERATION: '1' };
  const program = 'process.stdout.write("runs")';
  const run = spawnSync(process.execPath, ['-r', deno, '-r', HOOK, '-e', program], { env, encoding: 'utf8' });
  expect(run).toMatchObject({ status: 0, stdout: 'runs', stderr: '' });
});

test('a thread that listened and has ended is not waited for', () => {
  const thread = `${ONCE_LOADED}; require('node:http').createServer().listen(0, () => onceLoaded(() => process.exit()))`;
  const program = `
    process.on('SIGTERM', () => process.exit(7));
    setInterval(() => {}, 1_000);
    const worker = new (require('node:worker_threads').Worker)(${JSON.stringify(thread)}, { eval: true });
    worker.on('exit', () => {
      require('node:http').createServer().listen(0, () => process.kill(process.pid, 'SIGTERM'));
    });`;
  const env = { ...process.env, RELISTEN_DIR: temporaryFolder(), RELISTEN_GENERATION: '1' };
  const run = spawnSync(process.execPath, ['-r', HOOK, '-e', program], { env, timeout: 20_000, killSignal: 'SIGKILL' });
  expect(run).toMatchObject({ status: 7, signal: null });
});

describe('a process that never listens', () => {
  const env = { ...process.env, RELISTEN_DIR: '/nowhere', RELISTEN_GENERATION: '1' };
  const run = (script: string) =>
    spawnSync(process.execPath, ['-e', script], {
      env: { ...env, NODE_OPTIONS: `--require ${HOOK}` },
      encoding: 'utf8',
    });

  test('loads nothing of the network or of FFI, and prints nothing', () => {
    const loaded = run(
      'console.log(process.moduleLoadList.filter(m => /NativeModule (net|http|worker_threads|cluster|child_process)$/.test(m)).join())',
    );
    expect(loaded.stderr).toBe('');
    expect(loaded.stdout.trim()).toBe(
      spawnSync(
        process.execPath,
        [
          '-e',
          'console.log(process.moduleLoadList.filter(m => /NativeModule (net|http|worker_threads|cluster|child_process)$/.test(m)).join())',
        ],
        { encoding: 'utf8' },
      ).stdout.trim(),
    );
  });

  test('is held up for at most 3 ms', () => {
    // After another file: the first require() of a process takes as long again, and is not ours.
    const loads = [EMPTY, HOOK].map(path => `require(${JSON.stringify(path)})`);
    const script = `${loads[0]}; const t = performance.now(); ${loads[1]}; console.log(performance.now() - t)`;
    const times = Array.from({ length: 9 }, () =>
      Number(spawnSync(process.execPath, ['-e', script], { env, encoding: 'utf8' }).stdout),
    );
    // The best of them: on a busy machine the others wait for something else.
    expect(Math.min(...times)).toBeLessThan(3);
  });

  test('ends when it would have ended, also after it has listened', () => {
    const script = `require('http').createServer().listen(0, function () { this.close() })`;
    expect(run(script)).toMatchObject({ status: 0, stderr: '' });
  });
});
