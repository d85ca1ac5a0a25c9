import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  close,
  duplicate,
  growTable,
  growTableNow,
  isCloexec,
  isNonblocking,
  setCloexec,
  setNonblocking,
} from '../../src/kernel/fd.ts';
import { socket } from '../../src/kernel/socket.ts';
import { own } from '../fixtures/own.ts';

test('a duplicate has a number of its own and outlives the first', () => {
  const first = openSync('/dev/null', 'r');
  const second = own(duplicate(first));
  expect(second).not.toBe(first);
  expect(second).toBeGreaterThan(2);
  closeSync(first);
  expect(isCloexec(second)).toBe(true);
});

test('CLOEXEC belongs to the descriptor: its duplicate keeps its own', () => {
  const first = own(socket('IPv4'));
  const second = own(duplicate(first));
  setCloexec(first, false);
  expect([isCloexec(first), isCloexec(second)]).toEqual([false, true]);
  setCloexec(first, true);
  expect(isCloexec(first)).toBe(true);
});

test('O_NONBLOCK belongs to the open file description: a duplicate sees it change', () => {
  const first = own(socket('IPv4', { nonblocking: true }));
  const second = own(duplicate(first));
  expect([isNonblocking(first), isNonblocking(second)]).toEqual([true, true]);
  setNonblocking(second, false);
  expect(isNonblocking(first)).toBe(false);
  setNonblocking(first, true);
  expect(isNonblocking(second)).toBe(true);
});

test.each([
  ['close', () => close(99_999), 'close(99999) failed: bad file descriptor (EBADF)'],
  ['duplicate', () => duplicate(-1), 'fcntl(-1, F_DUPFD_CLOEXEC) failed: bad file descriptor (EBADF)'],
  ['isCloexec', () => isCloexec(-1), 'fcntl(-1, F_GETFD) failed: bad file descriptor (EBADF)'],
  ['setCloexec', () => setCloexec(-1, true), 'fcntl(-1, F_SETFD) failed: bad file descriptor (EBADF)'],
  ['setNonblocking', () => setNonblocking(-1, true), 'fcntl(-1, F_GETFL) failed: bad file descriptor (EBADF)'],
])('%s of a descriptor that is not open names the call and why', (_name, act, message) => {
  expect(act).toThrow(message);
});

/** How many descriptors fit before the table has to grow (proc_pid_status(5)). */
const tableSize = () => Number(/^FDSize:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
const openFds = () => readdirSync('/proc/self/fd').length;

test('the table of descriptors grows ahead, and nothing stays open', async () => {
  const [before, size] = [openFds(), tableSize()];
  growTableNow(0, size * 2);
  expect(tableSize()).toBe(size * 2);
  await growTable(0, size * 4);
  expect(tableSize()).toBe(size * 4);
  expect(openFds()).toBe(before);
});

test('it does not grow beyond what the process may have', async () => {
  const size = tableSize();
  growTableNow(0, 2 ** 31);
  await growTable(0, 2 ** 31);
  expect(tableSize()).toBe(size);
});
