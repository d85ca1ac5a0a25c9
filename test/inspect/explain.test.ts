import { describe, expect, test } from 'vitest';
import { explain } from '../../src/inspect/explain.ts';
import { type Facts, ownersOf } from '../../src/inspect/facts.ts';
import { count, duration, showAddress, showCounts } from '../../src/inspect/phrase.ts';
import { isOwnOrphan } from '../../src/inspect/reason.ts';
import type { BindTrial, ProcessFacts, ReuseOptions, SocketFacts } from '../../src/inspection.ts';

/*
 * Sentences for what no test machine has. Those for what it has are in inspect.test.ts, where each situation is made.
 */

const NOW = new Date(2026, 10, 20, 14, 3, 12).getTime();

function process(facts: Partial<ProcessFacts> = {}): ProcessFacts {
  const command = facts.command ?? 'node server.js';
  return {
    pid: 4242,
    command,
    argv: command.split(' '),
    cwd: '/srv/app',
    uid: 1000,
    user: 'web',
    ppid: 1,
    orphaned: false,
    startedAt: NOW - 60_000,
    ...facts,
  };
}

function socket(facts: Partial<SocketFacts> = {}): SocketFacts {
  const local = { family: 'IPv4', host: '127.0.0.1', port: 3000 } as const;
  return { local, state: 'LISTEN', inode: 7, uid: 1000, owners: [process()], ...facts };
}

/** The same answer for every option; per option where it matters. */
function trials(codes: (string | undefined)[] | string | undefined, host = '127.0.0.1'): BindTrial[] {
  const options: ReuseOptions[] = ['none', 'address', 'port', 'both'];
  return options.map((reuse, index) => {
    const code = Array.isArray(codes) ? codes[index] : codes;
    return code === undefined ? { host, reuse } : { host, reuse, code };
  });
}

function facts(given: Partial<Facts> = {}): Facts {
  return {
    asked: { host: '127.0.0.1', port: 3000 },
    target: { family: 'IPv4', host: '127.0.0.1', port: 3000 },
    listeners: [],
    blockers: [],
    counts: {},
    longestMs: undefined,
    trials: trials('EADDRINUSE'),
    listeningPorts: new Set(),
    self: { pid: 1, uid: 1000, argv: ['node', 'other.js'], cwd: '/home/web' },
    system: {
      ephemeralPorts: [32768, 60999],
      reservedPorts: '',
      firstUnprivilegedPort: 1024,
      hosts: ['127.0.0.1', '::1', '192.0.2.1'],
      now: NOW,
    },
    unseen: [],
    ...given,
  };
}

const listening = (owner: Partial<ProcessFacts>) =>
  facts({ listeners: [socket({ owners: [process(owner)] })], counts: { LISTEN: 1 } });

describe('advice depends on who listens', () => {
  test('a service of systemd is stopped by systemctl, as it would come back', () => {
    expect(explain(listening({ unit: 'app.service' })).advice[0]).toBe(
      'It belongs to a systemd unit: systemctl stop app.service',
    );
  });

  test('a container is found by the port that it publishes', () => {
    const command = '/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 3000';
    expect(explain(listening({ command, argv: command.split(' ') })).advice).toEqual([
      'A container publishes it: docker ps --filter publish=3000',
    ]);
  });

  test('a child of something that may start it again is said to be that', () => {
    expect(explain(listening({ parent: 'npm run dev', ppid: 4200 })).advice[0]).toBe(
      'Stop it: relisten free 127.0.0.1:3000 (its parent, npm run dev, pid 4200, may start it again)',
    );
  });

  test('several processes are counted, the one that they come from is named', () => {
    const workers = [11, 12, 13].map(pid => process({ pid, ppid: 4242, command: 'worker' }));
    const report = explain(facts({ listeners: [socket({ owners: [...workers, process()] })] }));
    expect(report.summary).toMatch(
      /^127\.0\.0\.1:3000 is in use by node server\.js \(pid 4242, .*\) and 3 more processes$/,
    );
  });

  test('a process of another user is not to be seen', () => {
    expect(explain(facts({ listeners: [socket({ uid: 33, owners: [] })] })).summary).toBe(
      '127.0.0.1:3000 is in use by a process of uid 33 that you may not look into',
    );
  });
});

test.each<[string, Partial<Facts>, string, string]>([
  [
    'no right to a port that everybody may bind',
    { trials: trials('EACCES') },
    'no-right',
    '127.0.0.1:3000 is forbidden, although every user may bind ports from 1024 on',
  ],
  [
    'a kernel without the family',
    {
      asked: { host: '::1', port: 3000 },
      target: { family: 'IPv6', host: '::1', port: 3000 },
      trials: trials('EAFNOSUPPORT', '::1'),
    },
    'no-such-address',
    'This kernel has no IPv6',
  ],
  [
    'a refusal that nothing explains',
    {},
    'unknown',
    '127.0.0.1:3000 cannot be bound (EADDRINUSE), and nothing that could be seen is in the way',
  ],
  [
    'TIME_WAIT and FIN_WAIT2 of a server that set nothing',
    {
      blockers: [socket({ state: 'TIME_WAIT', inode: 0, owners: [], remainingMs: 43_000 })],
      counts: { TIME_WAIT: 2, FIN_WAIT2: 1 },
      longestMs: 43_000,
    },
    'time-wait',
    '127.0.0.1:3000 is blocked for 43 s more, until 14:03:55, by 3 closed connections (2 in TIME_WAIT, 1 in FIN_WAIT2) of a server that did not set SO_REUSEADDR',
  ],
  [
    'TIME_WAIT of a server that set SO_REUSEADDR',
    {
      blockers: [socket({ state: 'TIME_WAIT', inode: 0, owners: [], remainingMs: 500 })],
      counts: { TIME_WAIT: 1 },
      longestMs: 500,
      trials: trials(['EADDRINUSE', undefined, 'EADDRINUSE', undefined]),
    },
    'time-wait',
    '127.0.0.1:3000 is free for a server that sets SO_REUSEADDR; without it, 1 closed connection (1 in TIME_WAIT) blocks it for 0.5 s more, until 14:03:12',
  ],
  [
    'connections that nobody has and that wait for their peers',
    {
      blockers: [
        socket({ state: 'LAST_ACK', inode: 0, owners: [] }),
        socket({ state: 'LAST_ACK', inode: 0, owners: [] }),
      ],
      counts: { LAST_ACK: 2 },
    },
    'leftover-connections',
    'Nothing listens on 127.0.0.1:3000 any more, but 2 connections of the server that did (2 in LAST_ACK) still block it',
  ],
  [
    'a client with a port of the range for that, and a peer without',
    {
      asked: { host: '127.0.0.1', port: 40000 },
      target: { family: 'IPv4', host: '127.0.0.1', port: 40000 },
      blockers: [
        socket({
          state: 'ESTABLISHED',
          local: { family: 'IPv4', host: '127.0.0.1', port: 40000 },
          peer: { family: 'IPv4', host: '192.0.2.9', port: 443 },
        }),
      ],
      counts: { ESTABLISHED: 1 },
    },
    'ephemeral-client',
    '127.0.0.1:40000 was given to a client as the local port of its connection to 192.0.2.9:443 (ESTABLISHED): node server.js (pid 4242, started',
  ],
  [
    'a client whose connection is in TIME_WAIT',
    {
      asked: { port: 40000 },
      target: { family: 'IPv6', host: '::', port: 40000 },
      trials: trials('EADDRINUSE', '::'),
      blockers: [
        socket({
          state: 'TIME_WAIT',
          inode: 0,
          owners: [],
          remainingMs: 1000,
          local: { family: 'IPv4', host: '127.0.0.1', port: 40000 },
          peer: { family: 'IPv4', host: '192.0.2.9', port: 443 },
        }),
      ],
      counts: { TIME_WAIT: 1 },
    },
    'ephemeral-client',
    'Port 40000 was given to a client as the local port of its connection to 192.0.2.9:443 (TIME_WAIT): no process any more',
  ],
  [
    'no right to a unix folder',
    {
      asked: { path: '/run/app.sock' },
      target: { family: 'unix', path: '/run/app.sock' },
      file: 'absent',
      trials: [{ host: '/run/app.sock', reuse: 'none', code: 'EACCES' }],
    },
    'no-right',
    '/run/app.sock is forbidden',
  ],
])('%s', (_situation, given, reason, summary) => {
  const report = explain(facts(given));
  expect(report.reason).toBe(reason);
  expect(report.summary.startsWith(summary)).toBe(true);
  expect(report.summary).not.toMatch(/\.$/);
  expect(report.advice.length).toBeGreaterThan(0);
});

test('a listener that no bind meets is not in the way, whatever it looks like', () => {
  const local = { family: 'IPv6', host: '::', port: 3000 } as const;
  const report = explain(facts({ listeners: [socket({ local })], trials: trials(undefined) }));
  expect(report).toMatchObject({ reason: 'free', summary: '127.0.0.1:3000 is free' });
});

test('an orphan is one of ours only by user, and by command or folder', () => {
  const self = { pid: 1, uid: 1000, argv: ['node', 'server.js'], cwd: '/srv/app' };
  const orphan = process({ orphaned: true });
  expect(isOwnOrphan(orphan, self)).toBe(true);
  expect(isOwnOrphan(orphan, { ...self, cwd: '/' })).toBe(true);
  expect(isOwnOrphan(orphan, { ...self, argv: ['sh'] })).toBe(true);
  expect(isOwnOrphan(orphan, { ...self, argv: ['sh'], cwd: '/' })).toBe(false);
  expect(isOwnOrphan(orphan, { ...self, uid: 0 })).toBe(false);
  expect(isOwnOrphan(orphan, { ...self, pid: orphan.pid })).toBe(false);
  expect(isOwnOrphan(process(), self)).toBe(false);
});

test('owners are told once each, parents before their children', () => {
  const [parent, child, grandchild] = [
    process({ pid: 30 }),
    process({ pid: 20, ppid: 30 }),
    process({ pid: 10, ppid: 20 }),
  ];
  const sockets = [socket({ owners: [grandchild, child] }), socket({ owners: [child, parent] })];
  expect(ownersOf(sockets).map(({ pid }) => pid)).toEqual([30, 20, 10]);
  // Two that claim to be each other's parent must not hold it up.
  const loop = [process({ pid: 1, ppid: 2 }), process({ pid: 2, ppid: 1 })];
  expect(ownersOf([socket({ owners: loop })])).toHaveLength(2);
});

test('times, numbers and addresses as people write them', () => {
  expect([400, 999, 1000, 43_001, 119_999, 120_000].map(duration)).toEqual([
    '0.4 s',
    '1.0 s',
    '1 s',
    '44 s',
    '120 s',
    '2 min',
  ]);
  expect([count(1, 'socket', 'sockets'), count(0, 'socket', 'sockets')]).toEqual(['1 socket', '0 sockets']);
  expect(showCounts({ LISTEN: 1, TIME_WAIT: 3, FIN_WAIT2: 1 })).toBe('3 in TIME_WAIT, 1 in FIN_WAIT2');
  expect(showAddress({ family: 'IPv6', host: '::ffff:127.0.0.1', port: 80 })).toBe('127.0.0.1:80');
  expect(showAddress({ family: 'IPv6', host: '::1', port: 80 })).toBe('[::1]:80');
});
