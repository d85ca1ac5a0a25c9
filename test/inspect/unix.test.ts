import { once } from 'node:events';
import { linkSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { inspect } from '../../src/inspect/inspect.ts';
import { close } from '../../src/kernel/fd.ts';
import * as kernel from '../../src/kernel/socket.ts';
import { clear, folder, keepFds, start } from '../fixtures/scene.ts';
import { needs } from '../tools.ts';

const { test: privileged } = needs('root', 'netns');

afterEach(clear);

test('a unix path that nothing has', async () => {
  const path = join(folder(), 'app.sock');
  expect(await inspect(path)).toMatchObject({ address: path, reason: 'free', trials: [{ host: path, reuse: 'none' }] });
  // The trial's own file is gone.
  expect(await inspect(path)).toMatchObject({ reason: 'free' });
});

test('a unix socket that a server listens on, and the file that it leaves behind', async () => {
  const path = join(folder(), 'app.sock');
  const live = createServer().listen(path);
  await once(live, 'listening');
  const report = await inspect(path);
  expect(report).toMatchObject({
    reason: 'live-unix-socket',
    listeners: [{ state: 'LISTEN', owners: [{ pid: process.pid }] }],
  });
  expect(report.summary).toBe(`${path} is in use by this process itself (pid ${process.pid})`);
  live.close();
  await once(live, 'close');

  const fd = kernel.socket('unix');
  kernel.bind(fd, { family: 'unix', path });
  expect(await inspect(path)).toMatchObject({ reason: 'bound-only' });
  close(fd);
  expect(await inspect(path)).toMatchObject({
    reason: 'stale-unix-socket',
    summary: `${path} is a socket file that a server left behind, and nothing listens on it`,
    trials: [{ code: 'EADDRINUSE' }],
  });
});

test('a live unix socket under another name of the same file is found, and nobody is connected to', async () => {
  const path = folder();
  const live = createServer().listen(join(path, 'app.sock'));
  await once(live, 'listening');
  let connections = 0;
  live.on('connection', () => connections++);
  symlinkSync(path, join(path, 'other'));
  linkSync(join(path, 'app.sock'), join(path, 'second.sock'));
  for (const name of ['other/app.sock', 'second.sock']) {
    expect(await inspect(join(path, name))).toMatchObject({
      reason: 'live-unix-socket',
      listeners: [{ owners: [{ pid: process.pid }] }],
    });
  }
  live.close();
  await once(live, 'close');
  expect(connections).toBe(0);
});

test('a file that is no socket, and a folder that is not there', async () => {
  const path = folder();
  writeFileSync(join(path, 'file'), '');
  expect(await inspect(join(path, 'file'))).toMatchObject({ reason: 'not-a-socket' });
  expect(await inspect(join(path, 'none', 'app.sock'))).toMatchObject({ reason: 'no-such-address' });
});

test('an abstract name, free and taken', async () => {
  const name = `\0relisten-test-${process.pid}`;
  expect(await inspect({ path: name })).toMatchObject({ reason: 'free', address: `@${name.slice(1)}` });
  const fd = kernel.socket('unix');
  keepFds(fd);
  kernel.bind(fd, { family: 'unix', path: name });
  kernel.listen(fd, 1);
  expect(await inspect({ path: name })).toMatchObject({
    reason: 'live-unix-socket',
    listeners: [{ owners: [{ pid: process.pid }] }],
  });
});

privileged('a unix socket of another network namespace is found by connecting to it', async () => {
  const path = join(folder(), 'app.sock');
  await start([
    'unshare',
    '-n',
    process.execPath,
    '-e',
    `require('net').createServer().listen('${path}', () => console.log(1))`,
  ]);
  const report = await inspect(path);
  expect(report).toMatchObject({ reason: 'live-unix-socket', listeners: [] });
  expect(report.summary).toMatch(
    /is in use by something that answers, but could not be seen from here \(another network namespace\)$/,
  );
});
