import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { needs } from '../tools.ts';
import { ask, FreshClients, httpGet, queueClients } from './clients.ts';
import { freePort, NOBODY, Supervised } from './harness.ts';
import { LISTENS, LISTENS_PY, runListens, whoAnswered } from './listens.ts';
import { serverFolder } from './servers.ts';

const ACTIVATED = ['python3', fileURLToPath(new URL('../fixtures/servers/activated.py', import.meta.url))];
const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };

const { test } = needs('linux', 'python3');

test('clients queue on a port that -p names before anything was started', async () => {
  using made = serverFolder();
  const port = await freePort();
  const go = join(made.folder, 'go');
  const script = `until [ -e ${go} ]; do sleep 0.02; done; exec python3 ${LISTENS_PY}`;
  await using run = runListens(`127.0.0.1:${port}`, { args: ['-p', `127.0.0.1:${port}`] }, ['sh', '-c', script]);
  await run.event('held');
  const { outcome } = await queueClients({ port, host: '127.0.0.1' }, httpGet, 30);
  expect(run.ready).toBeUndefined();
  writeFileSync(go, '');
  expect(await outcome).toMatchObject({ ok: 30, details: [] });
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('clients of a port of -p that the program does not serve are told of', async () => {
  const [named, served] = [await freePort(), await freePort()];
  await using run = runListens(`127.0.0.1:${served}`, { args: ['-p', `127.0.0.1:${named}`] });
  await run.started();
  const { outcome } = await queueClients({ port: named, host: '127.0.0.1' }, httpGet, 1);
  const { text } = await run.event('notice');
  expect(text).toBe(
    `Clients wait on 127.0.0.1:${named}, and nobody accepts them: generation 1 listens on 127.0.0.1:${served}`,
  );
  expect(await run.stop()).toMatchObject({ left: [] });
  expect(await outcome).toMatchObject({ ok: 0 });
});

needs('linux', 'python3', 'root').test(
  'a privileged port is opened for a server that runs as somebody else',
  async () => {
    // Loopback is a whole network: nobody else is at this address.
    const host = `127.${(process.pid >> 8) & 255}.${process.pid & 255}.9`;
    const args = ['-p', `${host}:81`, '--user', String(NOBODY)];
    await using run = runListens(`${host}:81`, { args });
    await run.started();
    await run.restart();
    const { pid, generation } = whoAnswered((await ask({ port: 81, host }, httpGet)).answer);
    expect(generation).toBe(2);
    expect(statSync(`/proc/${pid}`).uid).toBe(NOBODY);
    expect(await run.stop()).toMatchObject({ left: [] });
  },
);

needs('linux', 'python3', 'root').test(
  'without -p, a server that runs as somebody else may not bind a privileged port',
  async () => {
    const host = `127.${(process.pid >> 8) & 255}.${process.pid & 255}.8`;
    await using run = runListens(`${host}:81`, { args: ['--user', String(NOBODY)] });
    expect(await run.end()).toMatchObject({ code: 1, left: [] });
    expect(run.lines.some(line => line.includes('Permission denied'))).toBe(true);
  },
);

for (const [protocol, intercept, names] of [
  ['systemd', true, ['web', 'admin']],
  ['systemd', false, ['web', 'admin']],
  ['server-starter', true, undefined],
] as const) {
  const how = intercept ? '' : ', without interception';
  test(`listeners are passed as ${protocol} does it${how}, and nobody is lost in restarts`, async () => {
    const [web, admin] = [await freePort(), await freePort()];
    const ports = ['-p', `web=127.0.0.1:${web}`, '-p', `admin=127.0.0.1:${admin}`];
    const args = [...ports, '--protocol', protocol, ...(intercept ? [] : ['--no-intercept'])];
    await using run = new Supervised(ACTIVATED, { args });
    await run.started();
    const clients = new FreshClients({ port: web, host: '127.0.0.1' }, httpGet);
    for (let restart = 0; restart < 3; restart++) {
      await run.restart();
      await clients.more(20);
    }
    expect(await clients.stop()).toMatchObject(NOBODY_LOST);
    const expected = names ?? [`127.0.0.1:${web}`, `127.0.0.1:${admin}`];
    for (const [index, port] of [web, admin].entries()) {
      const { answer } = await ask({ port, host: '127.0.0.1' }, httpGet);
      expect(answer).toMatch(new RegExp(`\\n4 \\d+ ${expected[index]}\\n$`));
    }
    expect(await run.stop()).toMatchObject({ left: [] });
  });
}

const IPV4_FIRST =
  'The command binds 0.0.0.0:PORT, for which [::]:PORT of -p gives way: who waited there is reset (not with -p 0.0.0.0:PORT)';
const IPV6_FIRST =
  'The command binds [::]:PORT for IPv6 alone, for which [::]:PORT of -p gives way: who waited there is reset';

for (const { listens, hosts, notice } of [
  { listens: '0.0.0.0:PORT', hosts: ['127.0.0.1'], notice: IPV4_FIRST },
  { listens: '0.0.0.0:PORT [::]:PORT', hosts: ['127.0.0.1', '::1'], notice: IPV4_FIRST },
  { listens: '[::]:PORT 0.0.0.0:PORT', hosts: ['127.0.0.1', '::1'], notice: IPV6_FIRST },
  { listens: '[::]:PORT', hosts: ['127.0.0.1', '::1'], notice: undefined },
]) {
  const isForBoth = notice === undefined;
  test(`a port without a host serves a program that listens on ${listens}`, async () => {
    const port = await freePort();
    const args = ['-p', String(port)];
    const env = { V6ONLY: isForBoth ? '0' : '1', READY: '1' };
    await using run = runListens(listens.replaceAll('PORT', String(port)), { args, env });
    await run.started();
    // It is ready when it listens on one.
    await run.until(() => run.lines.includes('serving'));
    for (let generation = 1; generation <= 2; generation++) {
      for (const host of hosts) expect(await ask({ port, host }, httpGet)).toMatchObject({ fate: 'ok' });
      // A client's address as the program's own socket can read it.
      const { answer } = await ask({ port, host: '127.0.0.1' }, httpGet);
      expect(answer).toContain(`Peer: ${isForBoth ? '::ffff:' : ''}127.0.0.1\r\n`);
      if (generation === 1) await run.restart();
    }
    expect(run.events.filter(({ type }) => type === 'listening' || type === 'blocked')).toEqual([]);
    const notices = run.events.filter(event => event.type === 'notice').map(({ text }) => text);
    const gaveWay = notices.filter(text => text.includes('gives way'));
    expect(gaveWay).toEqual(isForBoth ? [] : [notice.replaceAll('PORT', String(port))]);
    expect(await run.stop()).toMatchObject({ left: [] });
  });
}

test('a program that binds one host is not opened to all by a port without one', async () => {
  const port = await freePort();
  await using run = runListens(`127.0.0.1:${port}`, { args: ['-p', String(port)] });
  expect(await run.end()).toMatchObject({ code: 1, left: [] });
  const blocked = run.events.find(event => event.type === 'blocked');
  expect(blocked).toMatchObject({
    reason: `Cannot bind 127.0.0.1:${port}: -p holds [::]:${port}, which covers it`,
    advice: [`Name the address that the program binds: -p 127.0.0.1:${port}`],
  });
});

test('who binds the address of -p twice is not advised to name it', async () => {
  const port = await freePort();
  await using run = runListens(`!127.0.0.1:${port}`, { args: ['-p', `127.0.0.1:${port}`] });
  await run.started();
  expect(run.events.find(event => event.type === 'blocked')).toMatchObject({
    reason: `Cannot bind 127.0.0.1:${port}: the program has it open already, as -p holds it`,
    advice: [],
  });
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a new version may bind the other family of a port that was named without one', async () => {
  using made = serverFolder();
  const port = await freePort();
  const envFile = join(made.folder, 'env');
  const say = (host: string) => writeFileSync(envFile, `LISTENS=${host}:${port}\n`);
  say('0.0.0.0');
  await using run = new Supervised(LISTENS, { args: ['-p', String(port), '--env-file', envFile] });
  await run.started();
  for (const [host, peer] of [
    ['[::]', '::ffff:127.0.0.1'],
    ['0.0.0.0', '127.0.0.1'],
  ] as const) {
    say(host);
    const { generation } = await run.restart();
    const { answer } = await ask({ port, host: '127.0.0.1' }, httpGet);
    expect(whoAnswered(answer).generation).toBe(generation);
    expect(answer).toContain(`Peer: ${peer}\r\n`);
  }
  expect(await run.stop()).toMatchObject({ left: [] });
});
