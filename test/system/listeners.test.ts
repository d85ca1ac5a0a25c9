import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { needs } from '../tools.ts';
import { ask, FreshClients, httpGet, type Tally } from './clients.ts';
import { freePort, NOBODY, Supervised } from './harness.ts';
import { LISTENS, LISTENS_PY, listenersAt, runListens } from './listens.ts';
import { nginxConf, serverFolder } from './servers.ts';

const LATE_NONBLOCK_PY = fileURLToPath(new URL('../fixtures/servers/late-nonblock.py', import.meta.url));
const EARLY_EPOLL_PY = fileURLToPath(new URL('../fixtures/servers/early-epoll.py', import.meta.url));
const PECULIAR_PY = fileURLToPath(new URL('../fixtures/servers/peculiar.py', import.meta.url));
const { test } = needs('linux', 'python3');
const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };

/** How clients fared that came all the while. */
async function restartUnderLoad(run: Supervised, restarts: number, port: number, host = '127.0.0.1'): Promise<Tally> {
  const clients = new FreshClients({ port, host }, httpGet);
  for (let restart = 0; restart < restarts; restart++) {
    await run.restart();
    await clients.more(20);
  }
  return clients.stop();
}

test('workers that each open a SO_REUSEPORT listener get theirs back, and nobody is lost', async () => {
  const port = await freePort();
  await using run = runListens(`+127.0.0.1:${port}`, { env: { WORKERS: '4', READY: '1' } });
  await run.started();
  await run.until(() => listenersAt(port).length === 4);
  const before = listenersAt(port);
  expect(await restartUnderLoad(run, 3, port)).toMatchObject(NOBODY_LOST);
  expect(listenersAt(port)).toEqual(before);
  expect(run.events.filter(({ type }) => type === 'listening')).toHaveLength(4);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('members of a SO_REUSEPORT group that the new generation does not open get no more clients', async () => {
  using made = serverFolder();
  const port = await freePort();
  const [envFile, stay] = [join(made.folder, 'env'), join(made.folder, 'stay')];
  const say = (members: number) => writeFileSync(envFile, `LISTENS="${`+127.0.0.1:${port} `.repeat(members)}"\n`);
  writeFileSync(stay, '');
  say(4);
  await using run = new Supervised(LISTENS, { args: ['--env-file', envFile], env: { STAY: stay } });
  await run.started();
  await run.until(() => listenersAt(port).length === 4);
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  say(2);
  run.kill('SIGHUP');
  await run.event('state', ({ generation, state }) => generation === 1 && state === 'draining');
  await run.until(() => listenersAt(port).length === 2);
  // Of so many, half would go to the other two.
  await clients.more(40);
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  rmSync(stay);
  expect(run.events.filter(({ type }) => type === 'released')).toMatchObject([{ isLast: false }, { isLast: false }]);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('the rest of a SO_REUSEPORT group is waited for, also when the sign of readiness has come', async () => {
  using made = serverFolder();
  const port = await freePort();
  const go = join(made.folder, 'go');
  writeFileSync(go, '');
  const args = ['--ready-line', '/^listening/'];
  await using run = runListens(`+127.0.0.1:${port} ~+127.0.0.1:${port}`, { args, env: { GO: go } });
  await run.started();
  await run.until(() => listenersAt(port).length === 2);
  const before = listenersAt(port);
  rmSync(go);
  run.kill('SIGHUP');
  await run.event('notice', ({ text }) => text.includes(`does not listen on 127.0.0.1:${port} yet`));
  expect(run.ready?.generation).toBe(1);
  writeFileSync(go, '');
  await run.event('state', ({ generation, state }) => generation === 1 && state === 'exited');
  expect(listenersAt(port)).toEqual(before);
  expect(run.events.some(({ type }) => type === 'released')).toBe(false);
  expect(await run.stop()).toMatchObject({ left: [] });
});

for (const [who, tools, args] of [
  ['relisten', [], []],
  ['somebody else', ['root'], ['--user', String(NOBODY)]],
] as const) {
  needs('linux', 'python3', ...tools).test(
    `a SO_REUSEPORT group grows from a port that -p names, for a server that runs as ${who}`,
    async () => {
      const port = await freePort();
      const named = ['-p', `127.0.0.1:${port}`, ...args];
      await using run = runListens(`+127.0.0.1:${port}`, { args: named, env: { WORKERS: '3', READY: '1' } });
      await run.started();
      await run.until(() => listenersAt(port).length === 3);
      const before = listenersAt(port);
      expect(await restartUnderLoad(run, 2, port)).toMatchObject(NOBODY_LOST);
      expect(listenersAt(port)).toEqual(before);
      expect(run.events.some(({ type }) => type === 'blocked')).toBe(false);
      expect(await run.stop()).toMatchObject({ left: [] });
    },
  );
}

test('a server on an address of IPv6 gets its listener back, and nobody is lost', async () => {
  const port = await freePort();
  await using run = runListens(`[::1]:${port}`);
  await run.started();
  const before = listenersAt(port);
  expect(await restartUnderLoad(run, 2, port, '::1')).toMatchObject(NOBODY_LOST);
  expect(listenersAt(port)).toEqual(before);
  expect(run.lines.filter(line => line.includes('stop-first'))).toEqual([]);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a worker that dies and binds again gets its listener back, with who waits there', async () => {
  const port = await freePort();
  await using run = runListens(`+127.0.0.1:${port}`, { env: { WORKERS: '2', READY: '1' } });
  await run.started();
  await run.until(() => run.lines.filter(line => line === 'serving').length === 2);
  const before = listenersAt(port);
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  await clients.more(20);
  const [, worker = 0] = run.family(run.ready?.pid);
  process.kill(worker, 'SIGKILL');
  await run.until(() => run.lines.filter(line => line === 'serving').length === 3);
  await clients.more(40);
  const { refused, timeout, reset, eof } = await clients.stop();
  expect({ refused, timeout }).toEqual({ refused: 0, timeout: 0 });
  expect(reset + eof).toBeLessThanOrEqual(1); // the one that the worker was answering
  expect(listenersAt(port)).toEqual(before);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a program that sets O_NONBLOCK late does not block the older generation in accept(2)', async () => {
  using made = serverFolder();
  const port = await freePort();
  const file = join(made.folder, 'fail');
  await using run = new Supervised(['python3', LATE_NONBLOCK_PY, String(port), file]);
  await run.started();
  run.kill('SIGHUP');
  await run.line(/^bound$/);
  const asked = { request: 'who\n', isWhole: (answer: string) => answer === '1\n' };
  expect(await ask({ port, host: '127.0.0.1' }, asked)).toMatchObject({ fate: 'ok' });
  writeFileSync(file, '');
  await run.event('state', ({ state }) => state === 'failed');
  expect(await ask({ port, host: '127.0.0.1' }, asked)).toMatchObject({ fate: 'ok' });
  expect(await run.stop()).toMatchObject({ left: [] });
});

for (const [where, how] of [
  ['3', 'by its first descriptor'],
  ['4', 'by another one'],
  ['200', 'by a high one'],
  ['dup', 'by a duplicate'],
] as const) {
  test(`a program that tells epoll of its socket before bind, ${how}, hears of its clients`, async () => {
    const port = await freePort();
    await using run = new Supervised(['python3', EARLY_EPOLL_PY, String(port), where]);
    await run.started();
    expect(await restartUnderLoad(run, 2, port)).toMatchObject(NOBODY_LOST);
    expect(run.lines.filter(line => line === 'unregistered')).toHaveLength(2);
    expect(await run.stop()).toMatchObject({ left: [] });
  });
}

test('a program that asks first whether its socket listens is ready without another listen(2)', async () => {
  const port = await freePort();
  await using run = new Supervised(['python3', PECULIAR_PY, String(port), 'asks']);
  await run.started();
  expect(await restartUnderLoad(run, 2, port)).toMatchObject(NOBODY_LOST);
  expect(run.lines.filter(line => line === 'listens')).toHaveLength(1);
  expect(await run.stop()).toMatchObject({ left: [] });
});

for (const { how, what, seen } of [
  { how: 'shutdown', what: 'at a low descriptor', seen: true },
  { how: 'high', what: 'where relisten does not see it', seen: false },
]) {
  test(`a listener that a program shuts down ${what} goes on in the next generation`, async () => {
    const port = await freePort();
    await using run = new Supervised(['python3', PECULIAR_PY, String(port), how]);
    await run.started();
    const before = listenersAt(port);
    const { timeout, ...lost } = await restartUnderLoad(run, 2, port);
    expect(timeout).toBe(0);
    if (seen) expect(lost).toMatchObject({ refused: 0, reset: 0, eof: 0, other: 0 });
    const mended = run.events.filter(event => event.type === 'notice' && /listens again/.test(event.text));
    expect(mended).toHaveLength(seen ? 0 : 2);
    expect(listenersAt(port)).toEqual(before);
    expect(await run.stop()).toMatchObject({ left: [] });
    expect(run.lines.filter(line => line === 'shut down')).toHaveLength(3);
  });
}

/** Opens its second port some time after the first one. */
const LATE = `
  const [first, late, afterMs] = process.argv.slice(1).map(Number);
  const listen = port => require('node:http').createServer((_, response) => response.end()).listen(port, '127.0.0.1');
  listen(first);
  setTimeout(listen, afterMs, late);
`;

test('a listener that comes late came late before: it is waited for, and its clients lose nothing', async () => {
  const [first, late] = [await freePort(), await freePort()];
  // Longer than a program is waited for that is not known to be slow.
  await using run = new Supervised(['node', '-e', LATE, String(first), String(late), '3500']);
  await run.started();
  await run.event('listening', ({ address }) => address === `127.0.0.1:${late}`);
  const clients = new FreshClients({ port: late, host: '127.0.0.1' }, httpGet);
  const { generation } = await run.restart();
  expect(generation).toBe(2);
  await run.event('notice', ({ text }) => text.includes(`does not listen on 127.0.0.1:${late} yet`));
  process.kill(run.ready?.pid ?? 0, 'SIGKILL');
  await run.event('state', event => event.generation === 3 && event.state === 'ready');
  await clients.more(10);
  const { refused, timeout } = await clients.stop();
  expect({ refused, timeout }).toEqual({ refused: 0, timeout: 0 });
  expect(run.events.some(({ type }) => type === 'released')).toBe(false);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test("a debugger's port makes nobody ready, and stays held", async () => {
  const [port, inspector] = [await freePort(), await freePort()];
  const script = `setTimeout(() => require('node:http').createServer((_, a) => a.end()).listen(${port}, '127.0.0.1'), 500)`;
  await using run = new Supervised(['node', `--inspect=${inspector}`, '-e', script]);
  await run.started();
  const at = (address: string) =>
    run.events.findIndex(event => event.type === 'listening' && event.address === address);
  const ready = run.events.findIndex(event => event.type === 'state' && event.state === 'ready');
  expect(at(`127.0.0.1:${inspector}`)).toBeGreaterThan(-1);
  expect(at(`127.0.0.1:${port}`)).toBeGreaterThan(-1);
  expect(at(`127.0.0.1:${port}`)).toBeLessThan(ready);
  await run.restart();
  expect(run.events.filter(({ type }) => type === 'listening')).toHaveLength(2);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a temporary socket that is named after its process makes nobody ready, and is not held', async () => {
  using made = serverFolder();
  const port = await freePort();
  const script = `
    const { createServer } = require('node:net');
    const pipe = createServer().listen(${JSON.stringify(made.folder)} + '/' + process.pid + '.pipe', () =>
      createServer(socket => socket.end('ok')).listen(${port}, '127.0.0.1'));
  `;
  await using run = new Supervised(['node', '-e', script]);
  await run.started();
  await run.restart();
  expect(run.events.flatMap(event => (event.type === 'listening' ? [event.address] : []))).toEqual([
    `127.0.0.1:${port}`,
  ]);
  // Nobody has waited for the old one's.
  expect(run.events.some(event => event.type === 'notice' && event.text.includes('does not listen'))).toBe(false);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a listener that the new generation no longer opens is let go once the old one is gone', async () => {
  using made = serverFolder();
  const [kept, dropped] = [await freePort(), await freePort()];
  const envFile = join(made.folder, 'env');
  writeFileSync(envFile, `LISTENS="127.0.0.1:${kept} 127.0.0.1:${dropped}"\n`);
  await using run = new Supervised(LISTENS, { args: ['--env-file', envFile] });
  await run.started();
  writeFileSync(envFile, `LISTENS=127.0.0.1:${kept}\n`);
  await run.restart();
  await run.event('released', ({ address }) => address === `127.0.0.1:${dropped}`);
  expect(await ask({ port: dropped, host: '127.0.0.1' }, httpGet)).toMatchObject({ fate: 'refused' });
  expect(await ask({ port: kept, host: '127.0.0.1' }, httpGet)).toMatchObject({ fate: 'ok' });
  expect(run.events.filter(({ type }) => type === 'released')).toHaveLength(1);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('UDP sockets and ports that the kernel chooses are none of its business', async () => {
  await using run = runListens('127.0.0.1:0 udp:127.0.0.1:0');
  await run.started();
  await run.restart();
  expect(run.events.filter(({ type }) => type === 'listening')).toEqual([]);
  const ports = run.lines.filter(line => line.startsWith('bound ')).map(line => Number(line.slice(6)));
  const [first = 0, , second = 0] = ports;
  expect(second).not.toBe(first);
  expect(await ask({ port: second, host: '127.0.0.1' }, httpGet)).toMatchObject({ fate: 'ok' });
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a program that binds its own address twice gets EADDRINUSE, and its listener stays held', async () => {
  const port = await freePort();
  await using run = runListens(`!127.0.0.1:${port}`);
  await run.started();
  const before = listenersAt(port);
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  await run.restart();
  await clients.more(20);
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  expect(run.lines.some(line => /^twice .*Address already in use/.test(line))).toBe(true);
  expect(listenersAt(port)).toEqual(before);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a server below a shell and in a session of its own keeps its listener, and is stopped', async () => {
  const port = await freePort();
  const script = `setsid python3 ${LISTENS_PY} & setsid sleep 300 & wait`;
  await using run = runListens(`127.0.0.1:${port}`, {}, ['sh', '-c', script]);
  await run.started();
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  await run.restart();
  await clients.more(20);
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  expect(await run.stop()).toMatchObject({ left: [] });
});

needs('linux', 'nginx').test('a server that goes into the background is ended, and relisten says why', async () => {
  using made = serverFolder();
  const conf = nginxConf(`127.0.0.1:${await freePort()}`, made.folder);
  // As nginx is started by default.
  writeFileSync(conf, readFileSync(conf, 'utf8').replace('daemon off; ', ''));
  await using run = new Supervised(['nginx', '-e', 'stderr', '-p', made.folder, '-c', conf]);
  expect(await run.end()).toMatchObject({ code: 1, left: [] });
  const notices = run.events.filter(event => event.type === 'notice').map(({ text }) => text);
  expect(notices).toEqual([expect.stringContaining('went into the background')]);
  expect(existsSync(join(made.folder, 'nginx.pid'))).toBe(false);
});

test('a process that left its parent and its session is found, and ended with its generation', async () => {
  const port = await freePort();
  const script = `(setsid sh -c 'trap "" TERM; echo $$ >&2; exec sleep 300' &); exec python3 ${LISTENS_PY}`;
  await using run = runListens(`127.0.0.1:${port}`, { args: ['--drain', '1s'] }, ['sh', '-c', script]);
  await run.started();
  const daemon = Number(await run.line(/^\d+$/));
  await run.restart();
  expect(run.events).toContainEqual(expect.objectContaining({ type: 'cut', generation: 1, processes: 1 }));
  await expect.poll(() => existsSync(`/proc/${daemon}`)).toBe(false);
  expect(await run.stop()).toMatchObject({ left: [] });
});
