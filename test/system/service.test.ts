import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { datagramSocket, receiveDatagram } from '../../src/kernel/datagram.ts';
import { close } from '../../src/kernel/fd.ts';
import { pidfdGetfd, pidfdOpen } from '../../src/kernel/pidfd.ts';
import { fdOfSocket } from '../../src/kernel/proc-fd.ts';
import { dumpTcp } from '../../src/kernel/sock-diag.ts';
import { getOption } from '../../src/kernel/socket.ts';
import { needs } from '../tools.ts';
import { ask, FreshClients, httpGet } from './clients.ts';
import { freePort, Supervised } from './harness.ts';
import { LISTENS, runListens } from './listens.ts';
import { serverFolder } from './servers.ts';

/*
 * relisten as a service of systemd: passed listeners (sd_listen_fds(3)), and what it tells (sd_notify(3)).
 */

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
const passed = (where: string | number) => ['python3', fixture('activate.py'), String(where)];
const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };
const { test } = needs('linux', 'python3');

test('a listener that relisten is passed is held for a program that binds it', async () => {
  const port = await freePort();
  await using run = runListens(`127.0.0.1:${port}`, { under: passed(port) });
  await run.started();
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  await run.restart();
  await clients.more(10);
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  expect(await run.event('held')).toMatchObject({ address: `127.0.0.1:${port}` });
  expect(run.events.filter(({ type }) => type === 'listening' || type === 'blocked')).toEqual([]);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a listener that relisten is passed is passed on, with its name', async () => {
  const port = await freePort();
  await using run = new Supervised(['python3', fixture('servers/activated.py')], { under: passed(port) });
  await run.started();
  const { generation } = await run.restart();
  const { answer } = await ask({ port, host: '127.0.0.1' }, httpGet);
  expect(answer).toMatch(new RegExp(`\n${generation} \\d+ web\\.socket\n$`));
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('the path of a unix socket that relisten is passed stays, whatever the program does to it', async () => {
  using made = serverFolder();
  const path = join(made.folder, 'web.sock');
  await using run = runListens(`unix:${path}`, { under: passed(path), env: { UNLINK: '1' } });
  await run.started();
  await run.restart();
  expect(await ask({ path }, httpGet)).toMatchObject({ fate: 'ok' });
  expect(await run.stop()).toMatchObject({ left: [] });
  expect(existsSync(path)).toBe(true);
});

test('a listener that relisten is passed is not shut down by its program, for who has passed it', async () => {
  const port = await freePort();
  const command = ['python3', fixture('servers/peculiar.py'), String(port), 'shutdown'];
  await using run = new Supervised(command, { under: passed(port) });
  await run.started();
  const [{ inode } = { inode: 0 }] = dumpTcp({ localPort: port, states: ['LISTEN'] });
  const pidfd = pidfdOpen(run.pid);
  const ours = pidfdGetfd(pidfd, fdOfSocket(run.pid, inode) ?? -1);
  try {
    expect(await run.stop()).toMatchObject({ left: [] });
    expect(run.lines).toContain('shut down');
    expect(getOption(ours, 'SO_ACCEPTCONN')).toBe(1);
  } finally {
    close(ours);
    close(pidfd);
  }
});

test('what is passed and is no listener is refused in one sentence', async () => {
  await using run = new Supervised(LISTENS, { under: passed(`udp:${await freePort()}`) });
  expect(await run.end()).toMatchObject({ code: 1, left: [] });
  expect(run.lines).toEqual([
    'relisten: Cannot adopt a listener: LISTEN_FDS passes descriptor 3 (web.socket), which is no stream socket, expected a stream socket that listens',
  ]);
});

test('a service manager that does not listen stops nothing', async () => {
  using made = serverFolder();
  const path = join(made.folder, 'notify');
  const fd = datagramSocket(path);
  try {
    const port = await freePort();
    // More than there is room for (net.unix.max_dgram_qlen), before anything else is told.
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '2000' };
    await using run = runListens(`127.0.0.1:${port}`, { env });
    await run.started();
    for (let generation = 2; generation <= 4; generation++) expect(await run.restart()).toMatchObject({ generation });
    expect(await run.stop()).toMatchObject({ left: [] });
  } finally {
    close(fd);
  }
});

test('the service manager is told when it is ready, when it stops, and that it lives', async () => {
  using made = serverFolder();
  const path = join(made.folder, 'notify');
  const fd = datagramSocket(path);
  const told: string[] = [];
  const hears = (text: string) => {
    for (let message = receiveDatagram(fd); message !== undefined; message = receiveDatagram(fd)) told.push(message);
    return told.includes(text);
  };
  try {
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '1000000' };
    await using run = runListens(`127.0.0.1:${await freePort()}`, { env });
    await run.until(() => hears('READY=1'));
    expect(run.ready).toBeDefined();
    await run.restart();
    await run.until(() => hears('WATCHDOG=1'));
    await run.stop();
    expect(hears('STOPPING=1')).toBe(true);
    expect(told.filter(text => text !== 'WATCHDOG=1')).toEqual(['READY=1', 'STOPPING=1']);
  } finally {
    close(fd);
  }
});
