import { expect, test } from 'vitest';
import { close } from '../../src/kernel/fd.ts';
import { call } from '../../src/kernel/libc.ts';
import { POLLHUP, POLLIN, Poller } from '../../src/kernel/poll.ts';

function pipe(): [read: number, write: number] {
  const pair = new Int32Array(2);
  call('pipe2', [pair, 0o2000000]);
  return [pair[0] ?? -1, pair[1] ?? -1];
}

test('calls back when a descriptor becomes readable, also one added during the wait', async () => {
  const poller = new Poller();
  const [first, firstEnd] = pipe();
  const [second, secondEnd] = pipe();
  const seen = (fd: number) => new Promise<number>(fulfil => poller.add(fd, POLLIN, fulfil));
  const one = seen(first);
  const two = seen(second);
  call('write', [secondEnd, Buffer.from('x'), 1]);
  expect((await two) & POLLIN).toBe(POLLIN);
  poller.remove(second);
  close(firstEnd);
  expect((await one) & POLLHUP).toBe(POLLHUP);
  poller.close();
  for (const fd of [first, second, secondEnd]) close(fd);
});

test('a closed poller keeps nothing and refuses more work', async () => {
  const poller = new Poller();
  const [read, write] = pipe();
  poller.add(read, POLLIN, () => {});
  poller.close();
  expect(() => poller.add(read, POLLIN, () => {})).toThrow('closed');
  close(read);
  close(write);
});

test('watches again what was removed descriptor was removed', async () => {
  const poller = new Poller();
  const [read, write] = pipe();
  poller.add(read, POLLIN, () => {});
  poller.remove(read);
  const told = new Promise<number>(fulfil => poller.add(read, POLLIN, fulfil));
  call('write', [write, Buffer.from('x'), 1]);
  expect(await told).toBe(POLLIN);
  poller.close();
  close(read);
  close(write);
});
