import { fstatSync, readFileSync } from 'node:fs';
import { afterEach, expect, vi } from 'vitest';
import { awaitedIn, parseSleep, tellsSleeps } from '../../src/kernel/awaited.ts';
import { close } from '../../src/kernel/fd.ts';
import { listener } from '../fixtures/tcp.ts';
import { endWaiters, waiter } from '../fixtures/waits.ts';
import { needs } from '../tools.ts';

const { test } = needs('linux', 'python3');
const open: number[] = [];
afterEach(async () => {
  await endWaiters();
  for (const fd of open.splice(0)) close(fd);
});

function listening(): { fd: number; inode: number } {
  const { fd } = listener();
  open.push(fd);
  return { fd, inode: fstatSync(fd).ino };
}

test.each([
  ['running\n', undefined],
  ['-1 0x7ffd1 0x7f2e\n', undefined],
  ['', undefined],
  [
    '43 0x3 0x7ffc77fbf4d0 0x7ffc77fbf4cc 0x8 0xffffffffffffffff 0x0 0x7ffc77fbf498 0x481a10\n',
    { number: 43, args: [3n, 0x7ffc77fbf4d0n, 0x7ffc77fbf4ccn, 8n, 0xffffffffffffffffn, 0n] },
  ],
])('%j is read', (text, sleep) => {
  expect(parseSleep(text)).toEqual(sleep);
});

test('this kernel tells what threads sleep in', () => {
  expect(tellsSleeps()).toBe(true);
});

test.each(['accept', 'poll', 'select', 'epoll', 'thread'])('a process waits for clients by %s', async call => {
  const [one, other] = [listening(), listening()];
  const process = waiter(one.fd, other.fd);
  await process.do(call);
  await vi.waitFor(() =>
    expect(awaitedIn(process.pid, new Set([one.inode, other.inode]))).toEqual(new Set([one.inode])),
  );
});

test.each(['sleep', 'read', 'poll-other', 'epoll-none'])('a process in %s waits for no client', async call => {
  const { fd, inode } = listening();
  const process = waiter(fd);
  await process.do(call);
  await vi.waitFor(() => expect(readFileSync(`/proc/${process.pid}/syscall`, 'utf8')).toMatch(/^\d/));
  expect(awaitedIn(process.pid, new Set([inode]))).toEqual(new Set());
});

test('a process that is gone waits for nobody', () => {
  expect(awaitedIn(2 ** 22, new Set([1]))).toEqual(new Set());
});
