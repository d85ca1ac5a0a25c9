import { afterEach, expect, test } from 'vitest';
import { close, duplicate, isCloexec } from '../../src/kernel/fd.ts';
import { accept, bind, connect, listen, localAddress, peerAddress, socket } from '../../src/kernel/socket.ts';

const open: number[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) close(fd);
});

function own(fd: number): number {
  open.push(fd);
  return fd;
}

test('every fd that is made, accepted or duplicated is closed by execve', () => {
  const server = own(socket('IPv4'));
  bind(server, { family: 'IPv4', host: '127.0.0.1', port: 0 });
  listen(server, 1);
  const client = own(socket('IPv4'));
  const address = localAddress(server);
  if (!address) throw new Error('a bound socket has an address');
  connect(client, address);
  const served = own(accept(server));
  expect([server, client, served, own(duplicate(server))].map(isCloexec)).toEqual([true, true, true, true]);
  expect(peerAddress(served)).toEqual(localAddress(client));
});
