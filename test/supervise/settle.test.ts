import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import { afterEach, expect } from 'vitest';
import type { SocketAddress } from '../../src/address.ts';
import { close } from '../../src/kernel/fd.ts';
import { connect, localAddress, socket } from '../../src/kernel/socket.ts';
import { clientsOn } from '../../src/supervise/clients.ts';
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

/** A client of the listener. */
function client(fd: number): void {
  const one = socket('IPv4');
  open.push(one);
  connect(one, addressOf(fd));
}

function addressOf(fd: number): SocketAddress {
  const address = localAddress(fd);
  if (address === undefined) throw new Error('it has no address');
  return address;
}

/** Waits for the process to settle. */
function settling(pid: number, fds: number[]) {
  const byInode = new Map(fds.map(fd => [fstatSync(fd).ino, { address: addressOf(fd) }]));
  const abort = new AbortController();
  over.push(abort);
  let onLook = () => {};
  let isDone = false;
  const listeners = () => {
    onLook();
    return new Set(byInode.keys());
  };
  const clientsAt = (inode: number) => clientsOn([byInode.get(inode) ?? []].flat());
  const done = settled({ pid, listening: new Set(), starting: abort }, listeners, clientsAt).then(() => {
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

test('who has a client has settled, also if it does not wait for another one', async () => {
  const fd = listening();
  const process = waiter(fd);
  const { done, isPendingAfter } = settling(process.pid, [fd]);
  client(fd);
  expect(await isPendingAfter(5)).toBe(true);
  await process.do('serve');
  await done;
});

test('a client of one listener says nothing of another', async () => {
  const fds = [listening(), listening()];
  const process = waiter(...fds);
  const { isPendingAfter } = settling(process.pid, fds);
  client(fds[0] ?? 0);
  await process.do('serve');
  expect(await isPendingAfter(30)).toBe(true);
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
