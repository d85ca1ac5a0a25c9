import { afterEach, expect } from 'vitest';
import { deafen, hear, hide } from '../../src/kernel/deaf.ts';
import { close } from '../../src/kernel/fd.ts';
import { accept, connect, socket } from '../../src/kernel/socket.ts';
import { listener } from '../fixtures/tcp.ts';
import { needs } from '../tools.ts';

const { test } = needs('linux');
const open: number[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) close(fd);
});

function own(fd: number): number {
  open.push(fd);
  return fd;
}

function reach(port: number): void {
  connect(own(socket('IPv4')), { family: 'IPv4', host: '127.0.0.1', port });
}

test('a listener that is hidden gets nobody any more, and keeps who waits in its queue', () => {
  const { fd, port } = listener();
  own(fd);
  reach(port);
  hide(fd);
  expect(() => reach(port)).toThrow(expect.objectContaining({ code: 'ECONNREFUSED' }));
  own(accept(fd));
});

needs('linux', 'root').test('a listener that is deaf is as if it was not there, until it hears', () => {
  const { fd, port } = listener();
  own(fd);
  deafen(fd);
  expect(() => reach(port)).toThrow(expect.objectContaining({ code: 'ECONNREFUSED' }));
  hear(fd);
  reach(port);
  own(accept(fd));
});

test('what was not made deaf cannot be made to hear', () => {
  const { fd } = listener();
  own(fd);
  expect(() => hear(fd)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
});
