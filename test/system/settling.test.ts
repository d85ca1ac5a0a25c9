import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { relisten } from '../fixtures/relisten.ts';
import { needs, type Tool } from '../tools.ts';
import { type Exchange, FreshClients, httpGet, redisPing } from './clients.ts';
import { freePort, NOBODY, type RunOptions, Supervised } from './harness.ts';
import { serverFolder } from './servers.ts';

const LISTENS_EARLY_PY = fileURLToPath(new URL('../fixtures/servers/listens-early.py', import.meta.url));
const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };
/** More than a restart takes that waits for nothing. */
const SOME_CLIENTS = 60;
const { test } = needs('linux', 'python3');

/** A server that is sound in its first generation, and listens and fails in the next one. */
interface Broken {
  what: string;
  tools: Tool[];
  command(port: number, folder: string): string[];
  args?: string[];
  exchange?: Exchange;
  /** What it fails with. */
  code?: number;
}

/** With a host listen(2) comes in a later tick, as a name would have to be looked up. */
function nodeServer(folder: string, afterListen: string, inCallback = ''): string[] {
  const path = join(folder, 'server.cjs');
  const isBroken = "process.env.RELISTEN_GENERATION !== '1'";
  const broken = (when: string) => (when === '' ? '' : `if (${isBroken}) ${when};`);
  writeFileSync(
    path,
    `require('node:http').createServer((_, response) => response.end('x'))
      .listen(process.env.PORT, () => { ${broken(inCallback)} });
    ${broken(afterListen)}`,
  );
  return ['node', path];
}

const THROW = "throw new Error('cannot start')";
const BROKEN: Broken[] = [
  {
    what: 'a Python program that listens and raises',
    tools: ['python3'],
    command: port => ['python3', LISTENS_EARLY_PY, String(port), 'raises'],
  },
  {
    what: 'a Node program that listens and throws in the same tick',
    tools: [],
    command: (_, folder) => nodeServer(folder, THROW),
  },
  {
    what: "a Node program that throws in the callback of 'listening'",
    tools: [],
    command: (_, folder) => nodeServer(folder, '', THROW),
  },
  {
    what: "a Node program without the hook that throws in the callback of 'listening'",
    tools: [],
    args: ['--no-hook'],
    command: (_, folder) => nodeServer(folder, '', THROW),
  },
  {
    what: "a Node program that exits in a tick after 'listening'",
    tools: [],
    command: (_, folder) => nodeServer(folder, '', 'process.nextTick(() => process.exit(1))'),
  },
  {
    what: 'redis that listens and cannot read its dump',
    tools: ['redis-server'],
    command: (port, folder) => {
      for (const generation of ['1', '2']) mkdirSync(join(folder, generation));
      writeFileSync(join(folder, '2', 'dump.rdb'), 'no dump');
      const options = `--port ${port} --bind 127.0.0.1 --save "" --dir ${folder}/$RELISTEN_GENERATION`;
      return ['sh', '-c', `exec redis-server ${options}`];
    },
    exchange: redisPing,
  },
];

/** Asks for a restart that fails with that code: the old generation has heard nothing. */
async function expectFailure(run: Supervised, code = 1): Promise<void> {
  const old = run.ready?.pid;
  const { stderr, ...outcome } = await relisten(['restart'], { env: { XDG_RUNTIME_DIR: run.runtime } });
  expect(outcome.code).toBe(1);
  expect(stderr).toContain(`exited with ${code}`);
  expect(run.ready).toMatchObject({ generation: 1, pid: old });
  expect(run.family(old)).toContain(old);
}

for (const { what, tools, command, args = [], exchange = httpGet, code } of BROKEN) {
  needs('linux', ...tools).test(`${what} has failed to start, and the old one goes on`, async () => {
    using made = serverFolder();
    const port = await freePort();
    const env = { PORT: String(port) };
    await using run = await new Supervised(command(port, made.folder), { args, env }).started();
    const clients = new FreshClients({ port, host: '127.0.0.1' }, exchange);
    await expectFailure(run, code);
    await clients.more(10);
    expect(await clients.stop()).toMatchObject(NOBODY_LOST);
    expect(await run.stop()).toMatchObject({ left: [] });
  });
}

test('a Node program that stood by, and throws when it listens, has failed to start', async () => {
  using made = serverFolder();
  const env = { PORT: String(await freePort()) };
  await using run = new Supervised(nodeServer(made.folder, '', THROW), { args: ['--standby', '0'], env });
  await run.started();
  await run.event('standby');
  await expectFailure(run);
  expect(await run.stop()).toMatchObject({ left: [] });
});

for (const [how, outcome, kind, says, uid] of [
  ['serve', 'ready', 'loads', '', 0],
  ['fail', 'failed', 'loads', '', 0],
  ['serve', 'ready', 'announces', ' and has sent READY=1', 0],
  ['fail', 'failed', 'leaves', ' beside a process that has ended, as an ordinary user', NOBODY],
] as const) {
  needs('linux', 'python3', ...(uid === 0 ? [] : ['root', 'setpriv'])).test(
    `while the worker of a new generation loads${says}, the old one serves, until the new one is ${outcome}`,
    async () => {
      using made = serverFolder();
      const [port, file] = [await freePort(), join(made.folder, 'loaded')];
      await using run = await new Supervised(['python3', LISTENS_EARLY_PY, String(port), kind, file], {
        uid,
      }).started();
      const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
      run.kill('SIGHUP');
      await run.line(/^2 listens$/);
      await clients.more(SOME_CLIENTS);
      expect(run.ready?.generation).toBe(1);
      writeFileSync(file, how);
      await run.event('state', ({ generation, state }) => generation === 2 && state === outcome);
      await clients.more(10);
      // An old one that ends has no handler for SIGTERM: what it has accepted by then is lost.
      const lost = outcome === 'failed' ? NOBODY_LOST : { refused: 0, timeout: 0, other: 0 };
      expect(await clients.stop()).toMatchObject(lost);
      expect(run.ready?.generation).toBe(outcome === 'ready' ? 2 : 1);
      expect(await run.stop()).toMatchObject({ left: [] });
    },
  );
}

/** Nothing that was said is about a wait for clients. */
function expectNoWaitTold({ events }: Supervised): void {
  expect(events.filter(event => event.type === 'notice' && event.text.includes('does not wait'))).toEqual([]);
}

test('a new generation that is busy with a client is ready before it waits for the next one', async () => {
  using made = serverFolder();
  const [port, file] = [await freePort(), join(made.folder, 'loaded')];
  await using run = await new Supervised(['python3', LISTENS_EARLY_PY, String(port), 'busy', file]).started();
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  run.kill('SIGHUP');
  await run.event('state', ({ generation, state }) => generation === 2 && state === 'ready');
  writeFileSync(file, 'serve');
  await clients.more(10);
  expect(await clients.stop()).toMatchObject({ refused: 0, timeout: 0, other: 0 });
  expectNoWaitTold(run);
  expect(await run.stop()).toMatchObject({ left: [] });
});

/** Nothing had to be waited for, so nothing was said of it. */
async function expectNothingSaid(command: string[], options: RunOptions = {}): Promise<void> {
  await using run = await new Supervised(command, options).started();
  await run.restart();
  const { left } = await run.stop();
  expect(left).toEqual([]);
  expectNoWaitTold(run);
}

test('a listener that was opened to see whether its port is free is not waited for', async () => {
  const ports = [await freePort(), await freePort()].map(String);
  await expectNothingSaid(['python3', LISTENS_EARLY_PY, ports[0] ?? '', 'probes', ports[1] ?? '']);
});

needs('linux', 'python3', 'root', 'setpriv').test(
  'who may not be looked into is ready by listen(2) alone',
  async () => {
    const command = ['python3', LISTENS_EARLY_PY, String(await freePort()), 'unseen'];
    await expectNothingSaid(command, { uid: NOBODY });
  },
);
