import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import { afterEach, expect } from 'vitest';
import { close } from '../../src/kernel/fd.ts';
import { settled } from '../../src/supervise/settle.ts';
import { listener } from '../fixtures/tcp.ts';
import { endWaiters, waiter } from '../fixtures/waits.ts';
import { needs } from '../tools.ts';

const { test } = needs('linux', 'python3');
const open: number[] = [];
const over: AbortController[] = [];
afterEach(async () => {
  for (const one of over.splice(0)) one.abort();
  await endWaiters();
  for (const fd of open.splice(0)) close(fd);
});

function listening(): number {
  const { fd } = listener();
  open.push(fd);
  return fd;
}

/** Waits for the process to settle. */
function settling(pid: number, fds: number[]) {
  const inodes = new Set(fds.map(fd => fstatSync(fd).ino));
  const abort = new AbortController();
  over.push(abort);
  let onLook = () => {};
  let isDone = false;
  const listeners = () => {
    onLook();
    return inodes;
  };
  const done = settled({ pid, listening: new Set(), starting: abort }, listeners).then(() => {
    isDone = true;
  });
  return {
    done,
    /** Whether it was looked at so many times in vain. */
    isPendingAfter: async (looks: number) => {
      for (let look = 0; look < looks; look++) await Promise.race([done, new Promise<void>(next => (onLook = next))]);
      return !isDone;
    },
  };
}

test.each(['accept', 'fork'])('who listens has settled when it waits for clients, not before: %s', async call => {
  const fd = listening();
  const process = waiter(fd);
  const { done, isPendingAfter } = settling(process.pid, [fd]);
  expect(await isPendingAfter(5)).toBe(true);
  await process.do(call);
  await done;
});

test('of several listeners each is waited for, but for those that are closed again', async () => {
  const fds = [listening(), listening()];
  const process = waiter(...fds);
  await process.do('thread');
  const { done, isPendingAfter } = settling(process.pid, fds);
  expect(await isPendingAfter(5)).toBe(true);
  await process.do('close');
  await done;
});

test('Node has settled when its event loop has come to wait, also if it has not slept yet', async () => {
  const fd = listening();
  const script = 'require("net").createServer().listen({ fd: 3 }, () => setImmediate(() => { for (;;); }))';
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'ignore', 'inherit', fd] });
  const ended = once(child, 'exit');
  try {
    await settling(child.pid ?? 0, [fd]).done;
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
});

test('a process that ends has not settled', async () => {
  const fd = listening();
  const child = spawn(process.execPath, ['-e', ''], { stdio: ['ignore', 'ignore', 'inherit', fd] });
  const { isPendingAfter } = settling(child.pid ?? 0, [fd]);
  await once(child, 'exit');
  expect(await isPendingAfter(3)).toBe(true);
});
