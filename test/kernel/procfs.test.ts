import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { close } from '../../src/kernel/fd.ts';
import {
  formatCommand,
  ownersOf,
  parsePasswd,
  pids,
  processFacts,
  socketInode,
  startTicks,
  threadGroup,
} from '../../src/kernel/procfs.ts';
import { listener } from '../fixtures/tcp.ts';

const children: ChildProcess[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
});

/** A process that says that it runs, and waits. */
async function sleeper(
  options: { args?: string[]; cwd?: string; fd?: number } = {},
): Promise<ChildProcess & { pid: number }> {
  const child = spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1e6)', ...(options.args ?? [])], {
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'ignore', ...(options.fd === undefined ? [] : [options.fd])],
  });
  children.push(child);
  if (child.stdout) await once(child.stdout, 'data');
  if (child.pid === undefined) throw new Error('not spawned');
  return Object.assign(child, { pid: child.pid });
}

test('the holders of a socket are found, every one of them', async () => {
  const { fd } = listener();
  const inode = fstatSync(fd).ino;
  expect(socketInode('self', fd)).toBe(inode);
  const child = await sleeper({ fd });
  expect(
    ownersOf(new Set([inode]))
      .get(inode)
      ?.sort(),
  ).toEqual([process.pid, child.pid].sort());
  close(fd);
  expect(ownersOf(new Set([inode]))).toEqual(new Map([[inode, [child.pid]]]));
});

test('a socket among very many descriptors is found', () => {
  const files = Array.from({ length: 700 }, () => openSync('/dev/null', 'r'));
  const { fd } = listener();
  try {
    expect(fd).toBeGreaterThan(64);
    const inode = fstatSync(fd).ino;
    expect(ownersOf(new Set([inode])).get(inode)).toEqual([process.pid]);
  } finally {
    close(fd);
    files.forEach(closeSync);
  }
});

test('nothing is looked for and nothing is found', () => {
  expect(ownersOf(new Set())).toEqual(new Map());
  expect(ownersOf(new Set([0xffffffff]))).toEqual(new Map());
  expect(socketInode('self', 999_999)).toBeUndefined();
});

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
  children.splice(0);
  expect(processFacts(child.pid)).toBeUndefined();
  expect(startTicks(child.pid)).toBeUndefined();
  expect(threadGroup(child.pid)).toBeUndefined();
});

test('a thread belongs to its process', async () => {
  const { readdirSync } = await import('node:fs');
  const threads = readdirSync('/proc/self/task').map(Number);
  expect(threads.length).toBeGreaterThan(1);
  expect(threads.map(threadGroup)).toEqual(threads.map(() => process.pid));
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
