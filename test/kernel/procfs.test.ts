import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import {
  childrenOf,
  formatCommand,
  isEnding,
  isOrphan,
  parentOf,
  parsePasswd,
  pids,
  processFacts,
  serviceOf,
  startTicks,
  threadGroup,
} from '../../src/kernel/procfs.ts';
import { endSleepers, sleeper } from '../fixtures/sleeper.ts';

afterEach(endSleepers);

test('a process is described as a person would', async () => {
  const before = Date.now();
  const { pid } = await sleeper({ args: ['--', 'two words'], cwd: '/' });
  const facts = processFacts(pid);
  expect(facts).toMatchObject({
    pid,
    cwd: '/',
    ppid: process.pid,
    uid: process.getuid?.(),
    parent: expect.any(String),
  });
  expect(facts?.argv.at(-1)).toBe('two words');
  expect(facts?.command).toMatch(/ -- 'two words'$/);
  expect(facts?.startedAt).toBeGreaterThan(before - 1000);
  expect(facts?.startedAt).toBeLessThan(Date.now() + 1000);
  expect(pids()).toContain(pid);
});

test('a process that is gone is described as nothing', async () => {
  const child = await sleeper();
  const ticks = startTicks(child.pid);
  expect(ticks).toBeGreaterThan(0);
  expect(startTicks(child.pid)).toBe(ticks);
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
  expect(processFacts(child.pid)).toBeUndefined();
  expect(startTicks(child.pid)).toBeUndefined();
  expect(threadGroup(child.pid)).toBeUndefined();
});

test('who runs does not end; a zombie has ended, and who is gone', async () => {
  expect(isEnding(process.pid)).toBe(false);
  const child = await sleeper();
  // Reaped when this turn of the event loop is over, and not before.
  child.kill('SIGKILL');
  while (!isEnding(child.pid));
  expect(startTicks(child.pid)).toBeDefined();
  await once(child, 'exit');
  expect(isEnding(child.pid)).toBe(true);
});

test('a thread belongs to its process', () => {
  const threads = readdirSync('/proc/self/task').map(Number);
  expect(threads.length).toBeGreaterThan(1);
  expect(threads.map(threadGroup)).toEqual(threads.map(() => process.pid));
});

test('parent and children know each other, and neither is an orphan', async () => {
  const { pid } = await sleeper();
  expect(parentOf(pid)).toBe(process.pid);
  expect(childrenOf(process.pid)).toContain(pid);
  expect(childrenOf(pid)).toEqual([]);
  expect(isOrphan(pid)).toBe(false);
  expect([parentOf(0x7fffffff), childrenOf(0x7fffffff), isOrphan(0x7fffffff)]).toEqual([undefined, undefined, false]);
});

test.each([
  ['0::/system.slice/nginx.service\n', 'nginx.service'],
  ['0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n', 'postgresql@15-main.service'],
  ['0::/user.slice/user-1000.slice/user@1000.service/app.slice/app.service/sub\n', 'app.service'],
  ['0::/user.slice/user-1000.slice/user@1000.service\n', undefined],
  ['0::/user.slice/user-1000.slice/session-2.scope\n', undefined],
  ['12:pids:/docker/0123abcd\n0::/\n', undefined],
  ['', undefined],
])('the service of control group %j is %s', (cgroup, unit) => {
  expect(serviceOf(cgroup)).toBe(unit);
});

test.each([
  [['node', 'server.js'], 'node server.js'],
  [['sh', '-c', "echo 'hi' $HOME"], "sh -c 'echo '\\''hi'\\'' $HOME'"],
  [['nginx: master process nginx -g daemon off;'], 'nginx: master process nginx -g daemon off;'],
  [[], ''],
  [['sh', '-c', 'a\n\u001b[31mb'], "sh -c 'a [31mb'"],
])('the command line of %j is %j', (argv, command) => {
  expect(formatCommand(argv)).toBe(command);
});

test('user names come from /etc/passwd, junk in it is passed over', () => {
  const text = 'root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:/bin/sh\n\n#x\nweb:x:33:33\n+::::::\nodd:x:-1:\n';
  expect(parsePasswd(text)).toEqual(
    new Map([
      [0, 'root'],
      [33, 'web'],
    ]),
  );
});
