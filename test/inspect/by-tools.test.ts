import { afterEach, beforeAll, expect, test as plainTest } from 'vitest';
import { inspectByTools, type Run } from '../../src/inspect/by-tools.ts';
import { explain } from '../../src/inspect/explain.ts';
import type { Facts } from '../../src/inspect/facts.ts';
import { close } from '../../src/kernel/fd.ts';
import { inNetworkNamespace } from '../fixtures/netns.ts';
import { listener } from '../fixtures/tcp.ts';
import { needs } from '../tools.ts';

const open: number[] = [];
beforeAll(() => {
  inNetworkNamespace();
});
afterEach(() => {
  for (const fd of open.splice(0)) close(fd);
});

const { test } = needs('lsof', 'ps');

test('lsof and ps name the process of a listener', async () => {
  const { fd, port } = listener();
  open.push(fd);
  const facts = await inspectByTools({ family: 'IPv4', host: '127.0.0.1', port }, 'darwin');
  expect(facts.listeners).toMatchObject([
    {
      state: 'LISTEN',
      local: { family: 'IPv4', host: '127.0.0.1', port },
      owners: [{ pid: process.pid, ppid: process.ppid, cwd: process.cwd() }],
    },
  ]);
  expect(
    Math.abs((facts.listeners[0]?.owners[0]?.startedAt ?? 0) - (Date.now() - process.uptime() * 1000)),
  ).toBeLessThan(5000);
  expect(explain(complete(facts)).summary).toMatch(
    new RegExp(`^127\\.0\\.0\\.1:${port} is in use by this process itself`),
  );
  expect(facts.unseen[0]).toMatch(/^No bind could be tried for real/);
});

const target = { family: 'IPv4', host: '127.0.0.1', port: 3000 } as const;

function complete(facts: Awaited<ReturnType<typeof inspectByTools>>): Facts {
  const port = facts.target.family === 'unix' ? 0 : facts.target.port;
  return {
    ...facts,
    asked: { host: '127.0.0.1', port },
    self: { pid: process.pid, uid: 501, argv: [], cwd: '/' },
    system: {
      ephemeralPorts: [49152, 65535],
      reservedPorts: undefined,
      firstUnprivilegedPort: 1024,
      hosts: [],
      now: 0,
    },
  };
}

/** Answers by program; '' is what a missing one answers. */
function answering(answers: Record<string, string>): Run {
  return (program, args) => Promise.resolve(answers[`${program} ${args.at(-1)}`] ?? answers[program] ?? '');
}

plainTest('Windows: netstat of both families, and the command line from PowerShell', async () => {
  const facts = await inspectByTools(
    target,
    'win32',
    answering({
      'netstat TCP':
        '  TCP    0.0.0.0:3000    0.0.0.0:0    LISTENING    4242\r\n  TCP    0.0.0.0:3001    0.0.0.0:0    LISTENING    1\r\n',
      'netstat TCPv6': '  TCP    [::1]:3000    [::]:0    LISTENING    4243\r\n',
      'powershell.exe':
        '{"ProcessId":4242,"ParentProcessId":7,"Name":"node.exe","CommandLine":"node server.js","Started":1763640000000}',
    }),
  );
  expect(facts).toMatchObject({ counts: { LISTEN: 1 }, trials: [] });
  const { reason, summary } = explain(complete(facts));
  expect(reason).toBe('other-family-or-wildcard');
  expect(summary).toMatch(
    /^127\.0\.0\.1:3000 is not free: 0\.0\.0\.0:3000, which covers it, is in use by node server\.js \(pid 4242, /,
  );
});

plainTest('macOS: netstat shows the TIME_WAIT that lsof does not', async () => {
  const netstat = 'tcp4  0  0  127.0.0.1.3000  127.0.0.1.51234  TIME_WAIT\n';
  const facts = await inspectByTools(target, 'darwin', answering({ netstat }));
  expect(explain(complete(facts))).toMatchObject({
    reason: 'time-wait',
    summary:
      '127.0.0.1:3000 has 1 closed connection (1 in TIME_WAIT) left, which blocks a server that does not set SO_REUSEADDR',
  });
});

plainTest('without any tool nothing is seen, and nothing is promised', async () => {
  const facts = await inspectByTools(target, 'darwin', answering({}));
  expect(explain(complete(facts))).toMatchObject({
    reason: 'free',
    summary: '127.0.0.1:3000 is free, as far as could be seen',
  });
});

plainTest('a listener whose process the tools do not name', async () => {
  const facts = await inspectByTools(
    target,
    'darwin',
    answering({ netstat: 'tcp4  0  0  127.0.0.1.3000  *.*  LISTEN\n' }),
  );
  expect(explain(complete(facts)).summary).toBe('127.0.0.1:3000 is in use by a process that could not be seen');
});
