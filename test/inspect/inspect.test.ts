import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, expect } from 'vitest';
import { inspect } from '../../src/inspect/inspect.ts';
import { close } from '../../src/kernel/fd.ts';
import { dumpTcp } from '../../src/kernel/sock-diag.ts';
import * as kernel from '../../src/kernel/socket.ts';
import { inNetworkNamespace } from '../fixtures/netns.ts';
import { clear, end, folder, keep, keepFds, later, start } from '../fixtures/scene.ts';
import { boundSocket, connection, leaveTimeWait, listener } from '../fixtures/tcp.ts';
import { needs } from '../tools.ts';

/*
 * Every situation is made for real, in a network namespace of this file's own, so that ports can be fixed.
 */

const { test } = needs('root', 'netns', 'ip', 'setpriv');

afterEach(clear);
beforeAll(() => {
  inNetworkNamespace();
});

/** A Node server's source, which says its pid when it listens. */
function server(port: number, host: string): string {
  return `require('net').createServer().listen(${port}, '${host}', () => console.log(process.pid))`;
}

/** A Python server with SO_REUSEPORT set, as another user. */
function groupOf(uid: number, port: number): string[] {
  const source = `import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(('127.0.0.1', ${port})); s.listen(); print('listens', flush=True); input()`;
  return [
    'setpriv',
    `--reuid=${uid}`,
    '--clear-groups',
    '/usr/bin/python3',
    '-c',
    `${source.replace('input()', 'import time; time.sleep(1000)')}`,
  ];
}

test('a live listener: whose it is, and how to stop it', async () => {
  const cwd = folder();
  const child = await start(['node', '-e', server(3000, '127.0.0.1')], { cwd });
  const report = await inspect('127.0.0.1:3000');
  expect(report).toMatchObject({
    address: '127.0.0.1:3000',
    reason: 'live-listener',
    blockers: [],
    counts: { LISTEN: 1 },
    unseen: [],
  });
  expect(report.listeners).toMatchObject([
    {
      state: 'LISTEN',
      local: { family: 'IPv4', host: '127.0.0.1', port: 3000 },
      owners: [{ pid: child.pid, cwd, ppid: process.pid, orphaned: false }],
    },
  ]);
  expect(report.summary).toMatch(
    new RegExp(
      `^127\\.0\\.0\\.1:3000 is in use by node -e .*… \\(pid ${child.pid}, started \\d\\d:\\d\\d in ${cwd}\\)$`,
    ),
  );
  expect(report.advice[0]).toMatch(/^Stop it: relisten free 127\.0\.0\.1:3000 \(its parent, .*, may start it again\)$/);
  expect(report.trials).toEqual(
    ['127.0.0.1', '0.0.0.0', '::'].flatMap(host =>
      ['none', 'address', 'port', 'both'].map(reuse => ({ host, reuse, code: 'EADDRINUSE' })),
    ),
  );
});

test('a listener that its parent left behind, in the folder of who asks, is an orphan of an earlier run', async () => {
  const cwd = folder();
  const file = join(cwd, 'server.js');
  writeFileSync(file, server(3001, '127.0.0.1'));
  // The shell is a session of its own and ends at once; its child belongs to pid 1 or a subreaper from then on.
  const shell = await start(['sh', '-c', `node server.js & read line`], { cwd, detached: true });
  const pid = Number(shell.line);
  later(() => end(pid));
  await end(shell.pid ?? 0);
  const program = { argv: ['node', 'other.js'], cwd };
  expect(await inspect('127.0.0.1:3001', { program })).toMatchObject({
    reason: 'orphan-listener',
    summary: expect.stringMatching(
      new RegExp(`is in use by an orphan of an earlier run, .*server\\.js \\(pid ${pid}, `),
    ),
    listeners: [{ owners: [{ pid, orphaned: true }] }],
  });
  const sameCommand = { argv: ['node', 'server.js'], cwd: '/' };
  expect((await inspect('127.0.0.1:3001', { program: sameCommand })).reason).toBe('orphan-listener');
  const stranger = { argv: ['node', 'other.js'], cwd: '/' };
  expect((await inspect('127.0.0.1:3001', { program: stranger })).reason).toBe('live-listener');
});

test('a listener of this very process is called that', async () => {
  keep(listener({ port: 3002 }));
  const report = await inspect('127.0.0.1:3002');
  expect(report.summary).toBe(`127.0.0.1:3002 is in use by this process itself (pid ${process.pid})`);
  expect(report.advice).toEqual(['Close the server that listens there first']);
});

test('TIME_WAIT of a server without SO_REUSEADDR blocks whatever the newcomer sets, and says until when', async () => {
  const made = listener({ port: 3003, reuse: 'none' });
  leaveTimeWait(made);
  leaveTimeWait(made);
  close(made.fd);
  const report = await inspect('127.0.0.1:3003');
  expect(report.reason).toBe('time-wait');
  expect(report.summary).toMatch(
    /^127\.0\.0\.1:3003 is blocked for (59|60) s more, until \d\d:\d\d:\d\d, by 2 closed connections \(2 in TIME_WAIT\) of a server that did not set SO_REUSEADDR$/,
  );
  expect(report.advice).toContain('Wait for it: relisten wait 127.0.0.1:3003 --until free');
  expect(report.blockers).toHaveLength(2);
  expect(report.blockers[0]?.remainingMs).toBeGreaterThan(50_000);
  expect(report.trials.filter(({ code }) => code !== 'EADDRINUSE')).toEqual([]);
});

test('TIME_WAIT of a server with SO_REUSEADDR blocks only a newcomer without', async () => {
  const made = listener({ port: 3004, reuse: 'address' });
  leaveTimeWait(made);
  close(made.fd);
  const report = await inspect('127.0.0.1:3004');
  expect(report.reason).toBe('time-wait');
  expect(report.summary).toMatch(
    /^127\.0\.0\.1:3004 is free for a server that sets SO_REUSEADDR; without it, 1 closed connection/,
  );
  expect(report.trials.filter(({ host }) => host === '127.0.0.1')).toEqual([
    { host: '127.0.0.1', reuse: 'none', code: 'EADDRINUSE' },
    { host: '127.0.0.1', reuse: 'address' },
    { host: '127.0.0.1', reuse: 'port', code: 'EADDRINUSE' },
    { host: '127.0.0.1', reuse: 'both' },
  ]);
});

test('TIME_WAIT of a server with SO_REUSEPORT alone lets the same option pass', async () => {
  const made = listener({ port: 3023, reuse: 'port' });
  leaveTimeWait(made);
  close(made.fd);
  const report = await inspect('127.0.0.1:3023');
  expect(report.summary).toMatch(
    /^127\.0\.0\.1:3023 is free for a server that sets SO_REUSEPORT; without it, 1 closed/,
  );
  expect(report.advice[0]).toBe('listen() of relisten sets SO_REUSEPORT where that helps');
});

test('connections of a dead server that had set SO_REUSEADDR can be listened beside', async () => {
  const made = listener({ port: 3024, reuse: 'address' });
  const ends = connection(made);
  keepFds(ends.server, ends.client);
  close(made.fd);
  const report = await inspect('127.0.0.1:3024');
  expect(report.reason).toBe('leftover-connections');
  expect(report.advice).toEqual([
    'A server that sets SO_REUSEADDR can listen beside them. Node sets SO_REUSEADDR, and so do listen() of relisten and relisten run',
  ]);
});

test('TIME_WAIT on another address of the host is not in the way', async () => {
  const made = listener({ host: '0.0.0.0', port: 3005 });
  leaveTimeWait(made, '127.0.0.2');
  close(made.fd);
  expect(await inspect('127.0.0.1:3005')).toMatchObject({
    reason: 'free',
    blockers: [],
    summary: '127.0.0.1:3005 is free',
  });
  expect((await inspect(3005)).reason).toBe('time-wait');
});

test('connections of a server that no longer listens, with the process that has them open', async () => {
  const made = listener({ port: 3006 });
  const ends = connection(made);
  keepFds(ends.server, ends.client);
  close(made.fd);
  const report = await inspect('127.0.0.1:3006');
  expect(report).toMatchObject({ reason: 'leftover-connections', counts: { ESTABLISHED: 1 } });
  expect(report.blockers).toMatchObject([{ state: 'ESTABLISHED', owners: [{ pid: process.pid }] }]);
  expect(report.summary).toMatch(
    /^Nothing listens on 127\.0\.0\.1:3006 any more, but 1 connection of the server that did \(1 in ESTABLISHED\) still blocks it, open in .* \(pid \d+,/,
  );
});

test('connections that a dead server was closing', async () => {
  const made = listener({ port: 3007 });
  const ends = connection(made);
  keepFds(ends.client);
  // Its peer does not close, so FIN_WAIT2 it is, with no process and with a timer.
  close(ends.server);
  close(made.fd);
  await untilState(3007, 'FIN_WAIT2');
  const report = await inspect('127.0.0.1:3007');
  expect(report).toMatchObject({
    reason: 'time-wait',
    counts: { FIN_WAIT2: 1 },
    blockers: [{ state: 'FIN_WAIT2', inode: 0, owners: [] }],
  });
  expect(report.summary).toContain('(1 in FIN_WAIT2)');
});

async function untilState(localPort: number, state: string): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!dumpTcp({ localPort }).some(socket => socket.state === state)) {
    if (performance.now() > deadline) throw new Error(`no ${state}`);
    await new Promise(setImmediate);
  }
}

test('a client that took the port as its ephemeral one, with the range and the remedy', async () => {
  writeFileSync('/proc/sys/net/ipv4/ip_local_port_range', '40000 40001');
  later(() => writeFileSync('/proc/sys/net/ipv4/ip_local_port_range', '32768 60999'));
  const made = keep(listener({ port: 3008 }));
  const ends = connection(made);
  keepFds(ends.server, ends.client);
  const taken = kernel.localAddress(ends.client);
  const port = taken && 'port' in taken ? taken.port : 0;
  const report = await inspect(`127.0.0.1:${port}`);
  expect(report.reason).toBe('ephemeral-client');
  expect(report.summary).toMatch(
    new RegExp(
      `^127\\.0\\.0\\.1:${port} was given to a client as the local port of its connection to 127\\.0\\.0\\.1:3008 \\(ESTABLISHED\\): this process itself`,
    ),
  );
  expect(report.advice.slice(-2)).toEqual([
    'Ports 40000 to 40001 go to clients: listen on one outside that range',
    `Or keep this one from them (ip(7), ip_local_port_range): sysctl -w net.ipv4.ip_local_reserved_ports=${port}`,
  ]);
});

test('a client is told even where its peer has a port of the same range', async () => {
  const made = keep(listener());
  const ends = connection(made);
  keepFds(ends.server, ends.client);
  const taken = kernel.localAddress(ends.client);
  expect((await inspect(`127.0.0.1:${taken && 'port' in taken ? taken.port : 0}`)).reason).toBe('ephemeral-client');
});

test('ports that are reserved already stay in the advice', async () => {
  writeFileSync('/proc/sys/net/ipv4/ip_local_reserved_ports', '8080,9000-9010');
  later(() => writeFileSync('/proc/sys/net/ipv4/ip_local_reserved_ports', '\n'));
  const made = keep(listener({ port: 3009 }));
  const ends = connection(made);
  keepFds(ends.server, ends.client);
  const taken = kernel.localAddress(ends.client);
  const port = taken && 'port' in taken ? taken.port : 0;
  expect((await inspect(`127.0.0.1:${port}`)).advice.at(-1)).toContain(
    `ip_local_reserved_ports=8080,9000-9010,${port}`,
  );
});

test.each([
  ['0.0.0.0', '127.0.0.1:3010', 'it is not free: 0.0.0.0:3010, which covers it, is in use'],
  ['::', '127.0.0.1:3010', '[::]:3010, which covers it, is in use'],
  ['::', '[::1]:3010', '[::]:3010, which covers it, is in use'],
  ['127.0.0.1', '0.0.0.0:3010', 'it covers 127.0.0.1:3010, which is in use'],
  ['::1', '[::]:3010', 'it covers [::1]:3010, which is in use'],
])('a listener on %s is in the way of %s', async (host, asked, words) => {
  keep(listener({ host, port: 3010 }));
  const report = await inspect(asked);
  expect(report.reason).toBe('other-family-or-wildcard');
  expect(report.summary).toContain(words.replace('it is not free: ', ''));
});

test.each([
  ['127.0.0.1', '[::1]:3011'],
  ['127.0.0.1', '127.0.0.2:3011'],
  ['::1', '0.0.0.0:3011'],
])('a listener on %s is not in the way of %s', async (host, asked) => {
  keep(listener({ host, port: 3011 }));
  expect(await inspect(asked)).toMatchObject({ reason: 'free', listeners: [] });
});

test('where IPv4 alone is taken, :: is told to set IPV6_V6ONLY', async () => {
  keep(listener({ host: '0.0.0.0', port: 3012 }));
  const report = await inspect('[::]:3012');
  expect(report).toMatchObject({ reason: 'v6only' });
  expect(report.summary).toMatch(/^\[::\]:3012 would cover IPv4 too, and there 0\.0\.0\.0:3012 is in use by/);
  expect(report.advice[0]).toMatch(/IPV6_V6ONLY/);
});

test('a listener with IPV6_V6ONLY leaves IPv4 free, and it shows', async () => {
  keep(listener({ host: '::', port: 3013, v6only: true }));
  expect(await inspect('0.0.0.0:3013')).toMatchObject({ reason: 'free', listeners: [] });
  expect(await inspect('[::1]:3013')).toMatchObject({
    reason: 'other-family-or-wildcard',
    listeners: [{ v6only: true }],
  });
});

test('a port without a host is in use wherever its listener is', async () => {
  keep(listener({ host: '127.0.0.2', port: 3014 }));
  expect(await inspect(3014)).toMatchObject({ address: '3014', reason: 'live-listener' });
});

test('a socket that is bound and does not listen is found', async () => {
  keep(boundSocket({ port: 3015 }));
  const report = await inspect('127.0.0.1:3015');
  expect(report).toMatchObject({
    reason: 'bound-only',
    blockers: [{ state: 'CLOSE', owners: [{ pid: process.pid }] }],
  });
  expect(report.summary).toMatch(/^127\.0\.0\.1:3015 is bound, but not listened on, by this process itself/);
});

test("another user's SO_REUSEPORT group cannot be joined, and that is said", async () => {
  const child = await start(groupOf(65534, 3016));
  const report = await inspect('127.0.0.1:3016');
  expect(report).toMatchObject({
    reason: 'foreign-reuseport-group',
    listeners: [{ uid: 65534, reuseport: true, owners: [{ pid: child.pid, uid: 65534, user: 'nobody' }] }],
  });
  expect(report.summary).toMatch(/whose SO_REUSEPORT group only user nobody can join$/);
  expect(report.trials.filter(({ code }) => code === undefined)).toEqual([]);
});

test('a SO_REUSEPORT group of the same user is a live listener that can be joined', async () => {
  keep(listener({ port: 3017, reuse: 'port' }));
  const report = await inspect('127.0.0.1:3017');
  expect(report.reason).toBe('live-listener');
  expect(
    report.trials.filter(({ host, code }) => host === '127.0.0.1' && code === undefined).map(({ reuse }) => reuse),
  ).toEqual(['port', 'both']);
});

test('an address that this host does not have, and those that it has', async () => {
  const report = await inspect('203.0.113.7:3000');
  expect(report).toMatchObject({ reason: 'no-such-address', summary: 'This host has no address 203.0.113.7' });
  expect(report.advice[0]).toContain('127.0.0.1');
});

test('a link-local address without its interface', async () => {
  expect(await inspect('[fe80::1]:3000')).toMatchObject({
    reason: 'no-such-address',
    summary: 'fe80::1 needs to say on which interface',
  });
});

test('a name that does not resolve, and an address that nobody can use', async () => {
  await expect(inspect('no-such-host.invalid:80')).rejects.toMatchObject({
    name: 'RelistenError',
    op: 'inspect',
    address: 'no-such-host.invalid:80',
  });
  await expect(inspect('127.0.0.1:65536')).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
});

test('a free port, and what port 0 means', async () => {
  expect(await inspect(3018)).toMatchObject({
    reason: 'free',
    summary: 'Port 3018 is free',
    advice: [],
    listeners: [],
    counts: {},
  });
  expect(await inspect(0)).toMatchObject({
    reason: 'free',
    summary: 'Port 0 lets the kernel choose a free port',
    trials: [],
  });
});

test('a trial leaves nothing behind: the port is free for a server without options right after', async () => {
  await inspect(3019);
  keep(listener({ host: '0.0.0.0', port: 3019 }));
});
