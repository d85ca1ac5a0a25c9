import { once } from 'node:events';
import { symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, expect } from 'vitest';
import type { Inspection } from '../../src/inspection.ts';
import { close } from '../../src/kernel/fd.ts';
import * as kernel from '../../src/kernel/socket.ts';
import { inNetworkNamespace } from '../fixtures/netns.ts';
import { clear, folder, keep, output } from '../fixtures/scene.ts';
import { leaveTimeWait, listener } from '../fixtures/tcp.ts';
import { needs } from '../tools.ts';

/*
 * What an ordinary user sees, and what is seen without FFI: with the built package, in processes of their own.
 */

const { test } = needs('root', 'netns', 'ip', 'setpriv');

afterEach(clear);
beforeAll(() => {
  inNetworkNamespace();
});

test('no right to bind a port below ip_unprivileged_port_start', async () => {
  const { code, stdout } = await runAs(65534, '127.0.0.1:80');
  expect(code).toBe(0);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({
    reason: 'no-right',
    summary: '127.0.0.1:80 is forbidden: ports below 1024 need root or CAP_NET_BIND_SERVICE',
  });
  expect(report.advice[0]).toBe('Let everybody bind it: sysctl -w net.ipv4.ip_unprivileged_port_start=80');
});

test("an ordinary user is told that a listener is another's, and that it could not be seen whose", async () => {
  keep(listener({ port: 3020 }));
  const { stdout } = await runAs(65534, '127.0.0.1:3020');
  expect(JSON.parse(stdout)).toMatchObject({
    reason: 'live-listener',
    summary: '127.0.0.1:3020 is in use by a process of uid 0 that you may not look into',
    unseen: ["Other users' processes could not be seen: only root may look into them"],
  });
});

/** Inspects as another user, with the built package, which that user may read. */
function runAs(uid: number, address: string): Promise<{ code: number | null; stdout: string }> {
  const module = new URL('../../dist/inspect/inspect.js', import.meta.url).href;
  const source = `import(${JSON.stringify(module)})
    .then(module => module.inspect(${JSON.stringify(address)}))
    .then(report => console.log(JSON.stringify(report)), error => { console.error(error); process.exitCode = 1; })`;
  return output(['setpriv', `--reuid=${uid}`, '--clear-groups', process.execPath, '-e', source]);
}

/** The built package as if in a folder without node_modules, and so without FFI. */
async function withoutFFI(address: string): Promise<Inspection> {
  const path = folder();
  symlinkSync(fileURLToPath(new URL('../../dist', import.meta.url)), join(path, 'dist'));
  writeFileSync(join(path, 'package.json'), '{"type":"module"}');
  const source = `import { inspect } from './dist/inspect/inspect.js';
    console.log(JSON.stringify(await inspect(${JSON.stringify(address)})));`;
  writeFileSync(join(path, 'run.js'), source);
  return JSON.parse((await output([process.execPath, '--preserve-symlinks', join(path, 'run.js')])).stdout);
}

test('without FFI /proc tells whose a listener is, and what was not seen is said', async () => {
  keep(listener({ port: 3021 }));
  expect(await withoutFFI('127.0.0.1:3021')).toMatchObject({
    reason: 'live-listener',
    listeners: [{ state: 'LISTEN', owners: [{ pid: process.pid }] }],
    trials: [],
    unseen: [
      'Only netlink shows sockets that are bound and do not listen, and which listeners on :: leave IPv4 alone: it is not to be had here',
      'No bind could be tried for real: the C library cannot be called here',
    ],
  });
  const made = listener({ port: 3022 });
  leaveTimeWait(made);
  close(made.fd);
  const report = await withoutFFI('127.0.0.1:3022');
  expect(report).toMatchObject({ reason: 'time-wait', counts: { TIME_WAIT: 1 } });
  expect(report.blockers[0]?.remainingMs).toBeGreaterThan(50_000);
});

test('without FFI a live unix socket and a stale one are told apart', async () => {
  const path = join(folder(), 'app.sock');
  const live = createServer().listen(path);
  await once(live, 'listening');
  expect(await withoutFFI(path)).toMatchObject({
    reason: 'live-unix-socket',
    listeners: [{ owners: [{ pid: process.pid }] }],
  });
  live.close();
  await once(live, 'close');
  const fd = kernel.socket('unix');
  kernel.bind(fd, { family: 'unix', path });
  close(fd);
  expect(await withoutFFI(path)).toMatchObject({ reason: 'stale-unix-socket', trials: [] });
});
