import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { needs } from '../tools.ts';
import { ask, FreshClients, httpGet } from './clients.ts';
import { freePort, Supervised } from './harness.ts';
import { runListens } from './listens.ts';
import { serverFolder } from './servers.ts';

const LATE_READY_PY = fileURLToPath(new URL('../fixtures/servers/late-ready.py', import.meta.url));
const GREETER_PY = fileURLToPath(new URL('../fixtures/servers/greeter.py', import.meta.url));
const INNER_PORT_PY = fileURLToPath(new URL('../fixtures/servers/inner-port.py', import.meta.url));
const URING_PY = fileURLToPath(new URL('../fixtures/servers/uring.py', import.meta.url));
const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };
/** More than one round of probes, and than a restart takes without one. */
const SOME_CLIENTS = 60;
const { test } = needs('linux', 'python3');

for (const { what, args, env, said, why } of [
  {
    what: 'answers on --ready-http',
    args: ['--ready-http', '/health'],
    env: {},
    said: /^2 was asked$/,
    why: /^it answered \/health with 503 last/,
  },
  {
    what: 'accepts with --ready-tcp',
    args: ['--ready-tcp'],
    env: { ACCEPTS_LATE: '1' },
    said: /^2 listens$/,
    why: /^it listens, but/,
  },
  {
    what: 'says READY=1 with --ready-notify',
    args: ['--ready-notify'],
    env: {},
    said: /^2 listens$/,
    why: /^it listens, but/,
  },
]) {
  test(`a new generation that listens takes the old one's place when it ${what}, and not before`, async () => {
    using made = serverFolder();
    const port = await freePort();
    const file = join(made.folder, 'of-use');
    await using run = new Supervised(['python3', LATE_READY_PY, String(port), file], { args, env });
    await run.started();
    const old = run.ready?.pid;
    const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
    run.kill('SIGHUP');
    await run.line(said);
    await clients.more(SOME_CLIENTS);
    expect(run.ready?.generation).toBe(1);
    expect(run.family(old)).toContain(old);
    writeFileSync(file, '');
    await run.event('state', ({ generation, state }) => generation === 2 && state === 'ready');
    await run.event('state', ({ generation, state }) => generation === 1 && state === 'exited');
    await clients.more(10);
    expect(await clients.stop()).toMatchObject(NOBODY_LOST);
    expect(await run.stop()).toMatchObject({ left: [] });
  });

  test(`a new generation that never ${what} is given up, and the old one goes on`, async () => {
    using made = serverFolder();
    const port = await freePort();
    const command = ['python3', LATE_READY_PY, String(port), join(made.folder, 'never')];
    await using run = new Supervised(command, { args: [...args, '--ready-timeout', '2s'], env });
    await run.started();
    const old = run.ready?.pid;
    const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
    run.kill('SIGHUP');
    const failed = await run.event('state', ({ state }) => state === 'failed');
    expect(failed).toMatchObject({ generation: 2 });
    const [, reason] = /^Not ready within 2 s: (.*)$/.exec(String(failed.reason)) ?? [];
    expect(reason).toMatch(why);
    await clients.more(10);
    expect(await clients.stop()).toMatchObject(NOBODY_LOST);
    expect(run.family(old)).toContain(old);
    expect(run.ready?.generation).toBe(1);
    expect(await run.stop()).toMatchObject({ left: [] });
  });
}

test('--ready-tcp counts a connection that the server closes at once, where no other generation can have accepted it', async () => {
  const port = await freePort();
  const args = ['--ready-tcp', '--strategy', 'stop-first'];
  await using run = await new Supervised(['python3', GREETER_PY, String(port)], { args }).started();
  await run.restart();
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('--ready-tcp says it where connections are closed before anybody can see who accepted them', async () => {
  const port = await freePort();
  const args = ['--ready-tcp', '--ready-timeout', '2s'];
  await using run = await new Supervised(['python3', GREETER_PY, String(port)], { args }).started();
  run.kill('SIGHUP');
  const failed = await run.event('state', ({ state }) => state === 'failed');
  expect(failed.reason).toContain('connections are closed before anybody can see which generation accepts them');
  expect(run.ready?.generation).toBe(1);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test("a program's own listener on a port that the kernel chose does not make a first start ready when another follows", async () => {
  using made = serverFolder();
  const [port, file] = [await freePort(), join(made.folder, 'go-on')];
  await using run = new Supervised(['python3', INNER_PORT_PY, String(port), file]);
  await run.line(/^inner$/);
  writeFileSync(file, '');
  await run.started();
  const types = run.events.map(event => (event.type === 'state' ? event.state : event.type));
  expect(types.indexOf('listening')).toBeLessThan(types.indexOf('ready'));
  expect(types).toContain('listening');
  await run.restart();
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a server that listens on a port that the kernel chose alone is ready, and so is the one after it', async () => {
  using made = serverFolder();
  const command = ['python3', INNER_PORT_PY, '0', join(made.folder, 'never')];
  await using run = await new Supervised(command).started();
  await run.restart();
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a new generation that moves to a port that the kernel chose fails, and that is what is said', async () => {
  using made = serverFolder();
  const [port, file] = [await freePort(), join(made.folder, 'go-on')];
  writeFileSync(file, '');
  const options = { args: ['--ready-timeout', '2s'], env: { MOVES: '2' } };
  await using run = await new Supervised(['python3', INNER_PORT_PY, String(port), file], options).started();
  run.kill('SIGHUP');
  const failed = await run.event('state', ({ state }) => state === 'failed');
  expect(failed.reason).toContain(`it listens on a port that the kernel chose, not on 127.0.0.1:${port}`);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a server that listens by io_uring is ready, and that it is not held is said', async ({ skip }) => {
  // Since Linux 6.11, and many containers forbid it.
  skip(spawnSync('python3', [URING_PY, '0']).status !== 0, 'no io_uring that listens');
  const port = await freePort();
  await using run = await new Supervised(['python3', URING_PY, String(port)]).started();
  const unseen = `Generation 1 listens on 127.0.0.1:${port}, but not by listen(2)`;
  await run.event('notice', ({ text }) => text.startsWith(unseen));
  expect(await ask({ port, host: '127.0.0.1' }, httpGet)).toMatchObject({ fate: 'ok' });
  expect(await run.stop()).toMatchObject({ left: [] });
});

for (const { what, where } of [
  { what: 'a unix socket', where: (folder: string) => join(folder, 'web.sock') },
  { what: 'an abstract one', where: (folder: string) => `@${folder}` },
]) {
  test(`--ready-http with a path asks on ${what}, too`, async () => {
    using made = serverFolder();
    const file = join(made.folder, 'of-use');
    const command = ['python3', LATE_READY_PY, where(made.folder), file];
    await using run = new Supervised(command, { args: ['--ready-http', '/health'] });
    await run.started();
    run.kill('SIGHUP');
    await run.line(/^2 was asked$/);
    writeFileSync(file, '');
    await run.event('state', ({ generation, state }) => generation === 2 && state === 'ready');
    await run.event('state', ({ generation, state }) => generation === 1 && state === 'exited');
    expect(await run.stop()).toMatchObject({ left: [] });
  });
}

test('--ready-http with a URL believes what answers there', async () => {
  using made = serverFolder();
  const port = await freePort();
  let status = 503;
  let asked: () => void = () => undefined;
  const wasAsked = new Promise<void>(fulfil => {
    asked = fulfil;
  });
  await using elsewhere = createServer((_request, response) => {
    asked();
    response.writeHead(status).end();
  }).listen(0, '127.0.0.1');
  await new Promise(fulfil => elsewhere.once('listening', fulfil));
  const address = elsewhere.address();
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`;
  const command = ['python3', LATE_READY_PY, String(port), join(made.folder, 'of-use')];
  await using run = new Supervised(command, { args: ['--ready-http', url] });
  await wasAsked;
  await run.line(/^1 listens$/);
  expect(run.ready).toBeUndefined();
  status = 204;
  await run.started();
  expect(await run.stop()).toMatchObject({ left: [] });
});

for (const probe of [['--ready-http', '/'], ['--ready-tcp']]) {
  needs('root', 'netns', 'python3').test(
    `${probe[0]} asks a listener for all addresses where there is no ::1`,
    async () => {
      const withoutIt = 'ip link set lo up; echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6; exec "$@"';
      await using run = runListens('[::]:3000', {
        args: probe,
        under: ['unshare', '--net', 'sh', '-c', withoutIt, 'sh'],
      });
      await run.started();
      await run.restart();
      expect(await run.stop()).toMatchObject({ left: [] });
    },
  );
}
