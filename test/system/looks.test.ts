import { expect } from 'vitest';
import { needs } from '../tools.ts';
import { FreshClients, httpGet, type Tally } from './clients.ts';
import { freePort, NOBODY, type RunOptions, type Supervised } from './harness.ts';
import { expectOverlap, LISTENS, listenersAt, looking, runListens } from './listens.ts';

/*
 * Programs that listen on an address, and close it again, to see whether the port is free, before they listen where they
 * serve.
 */

const { test } = needs('linux', 'python3');
const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };
const RESTARTS = 3;

/** How clients fared in a few restarts, each of which must overlap. */
async function restartUnderLoad(run: Supervised, port: number, host = '127.0.0.1'): Promise<Tally> {
  const clients = new FreshClients({ port, host }, httpGet);
  for (let restart = 0; restart < RESTARTS; restart++) {
    const { generation } = await run.restart();
    expectOverlap(run, generation);
    await clients.more(20);
  }
  return clients.stop();
}

const VITE = ['0.0.0.0', '[::]', '[::]', '127.0.0.1'];
const PROGRAMS: [name: string, hosts: string[], client?: string][] = [
  ['vite', VITE],
  ['vite on ::1', ['0.0.0.0', '[::]', '[::]', '[::1]'], '::1'],
  ['vite --host', ['0.0.0.0', '[::]', '[::]', '[::]']],
  ['vite --host 0.0.0.0', ['0.0.0.0', '[::]', '[::]', '0.0.0.0']],
  ['get-port', ['[::]', '0.0.0.0', '127.0.0.1', '[::1]', '[::]']],
];

for (const [name, hosts, client] of PROGRAMS) {
  test(`a program that looks first, as ${name} does, restarts and nobody is lost`, async () => {
    const port = await freePort();
    await using run = runListens(looking(port, ...hosts), { env: { READY: '1' } });
    await run.started();
    const before = listenersAt(port);
    expect(before).toHaveLength(1);
    expect(await restartUnderLoad(run, port, client)).toMatchObject(NOBODY_LOST);
    expect(listenersAt(port)).toEqual(before);
    expect(run.events.filter(({ type }) => type === 'blocked')).toEqual([]);
    expect(await run.stop()).toMatchObject({ left: [] });
  });
}

for (const [how, look] of [
  ['only binds', '??'],
  ['has SO_REUSEPORT', '?+'],
]) {
  test(`a look that ${how} is one as well`, async () => {
    const port = await freePort();
    const addresses = `${look}0.0.0.0:${port} ${look}[::]:${port} 127.0.0.1:${port}`;
    await using run = runListens(addresses, { env: { READY: '1' } });
    await run.started();
    expect(await restartUnderLoad(run, port)).toMatchObject(NOBODY_LOST);
    expect(await run.stop()).toMatchObject({ left: [] });
  });
}

/** Looks at every address, as Node does when it is told none. */
const LOOK = 'const look = require("node:net").createServer().listen(process.argv[1], () => look.close())';

test('a look in a process of its own is one as well', async () => {
  const port = await freePort();
  const command = ['sh', '-c', `node -e '${LOOK}' ${port} && exec ${LISTENS.join(' ')}`];
  await using run = runListens(`127.0.0.1:${port}`, { env: { READY: '1' } }, command);
  await run.started();
  expect(await restartUnderLoad(run, port)).toMatchObject(NOBODY_LOST);
  expect(await run.stop()).toMatchObject({ left: [] });
});

const UNPRIVILEGED: [who: string, options: RunOptions][] = [
  ['an ordinary user', { uid: NOBODY }],
  ['root without CAP_NET_RAW', { under: ['setpriv', '--bounding-set=-net_raw'] }],
];

for (const [who, options] of UNPRIVILEGED) {
  needs('linux', 'python3', 'root', 'setpriv').test(
    `looks at a part of what the old one serves lose nobody where relisten is ${who}`,
    async () => {
      const port = await freePort();
      const addresses = looking(port, '0.0.0.0', '127.0.0.1', '[::]');
      await using run = runListens(addresses, { ...options, env: { READY: '1' } });
      await run.started();
      expect(await restartUnderLoad(run, port)).toMatchObject(NOBODY_LOST);
      expect(await run.stop()).toMatchObject({ left: [] });
    },
  );
}

test('clients that come while nobody serves wait until the next generation has looked', async () => {
  const port = await freePort();
  await using run = runListens(looking(port, ...VITE), { env: { READY: '1' } });
  await run.started();
  const before = listenersAt(port);
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  await clients.more(10);
  process.kill(run.ready?.pid ?? 0, 'SIGKILL');
  await run.event('state', ({ generation, state }) => generation === 2 && state === 'ready');
  await clients.more(10);
  const { refused, timeout, reset, eof } = await clients.stop();
  expect({ refused, timeout }).toEqual({ refused: 0, timeout: 0 });
  expect(reset + eof).toBeLessThanOrEqual(1); // the one that it was answering
  expect(listenersAt(port)).toEqual(before);
  expect(await run.stop()).toMatchObject({ left: [] });
});
