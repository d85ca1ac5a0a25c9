import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fstatSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { close } from '../../src/kernel/fd.ts';
import { encodeAttribute } from '../../src/kernel/netlink.ts';
import { accept, bind, connect, listen, socket } from '../../src/kernel/socket.ts';
import { closedInQueue, decodeUnixMessage, dumpUnix, unixPeer } from '../../src/kernel/unix-diag.ts';

test('a listener is shown with its path and its file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'unix-'));
  const path = join(folder, 'app.sock');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const found = dumpUnix().filter(each => each.path === path);
  expect(found).toMatchObject([{ state: 'LISTEN', uid: process.getuid?.(), file: { inode: statSync(path).ino } }]);
  server.close();
  await once(server, 'close');
  rmSync(folder, { recursive: true });
  expect(dumpUnix().filter(each => each.path === path)).toEqual([]);
});

test('an abstract name has no file, and is shown bound only and listened on', () => {
  const path = `\0relisten-unix-diag-${process.pid}`;
  const fd = socket('unix');
  const states = () => dumpUnix().flatMap(each => (each.path === path ? [[each.state, each.inode, each.file]] : []));
  const { ino } = fstatSync(fd);
  bind(fd, { family: 'unix', path });
  expect(states()).toEqual([['CLOSE', ino, undefined]]);
  listen(fd, 1);
  expect(states()).toEqual([['LISTEN', ino, undefined]]);
  close(fd);
  expect(states()).toEqual([]);
});

test('a connection tells its other end, once that is accepted', () => {
  const address = { family: 'unix', path: `\0relisten-unix-peer-${process.pid}` } as const;
  const [listener, client] = [socket('unix'), socket('unix')];
  const { ino } = fstatSync(client);
  expect(unixPeer(ino)).toBe(0);
  bind(listener, address);
  listen(listener, 1);
  connect(client, address);
  expect(unixPeer(ino)).toBe(0);
  const accepted = accept(listener);
  expect(unixPeer(ino)).toBe(fstatSync(accepted).ino);
  close(accepted);
  expect(unixPeer(ino)).toBe(0);
  close(client);
  close(listener);
});

test('a listener tells how many of those who wait have closed their end', () => {
  const address = { family: 'unix', path: `\0relisten-unix-queue-${process.pid}` } as const;
  const [listener, patient, hasty] = [socket('unix'), socket('unix'), socket('unix')];
  const { ino } = fstatSync(listener);
  bind(listener, address);
  listen(listener, 2);
  for (const client of [patient, hasty]) connect(client, address);
  expect(closedInQueue().get(ino)).toBe(0);
  close(hasty);
  expect(closedInQueue().get(ino)).toBe(1);
  close(patient);
  expect(closedInQueue().get(ino)).toBe(2);
  close(listener);
});

/** struct unix_diag_msg: family, type, state, pad, inode, cookie. */
function message(type: number, ...attributes: Buffer[]): Buffer {
  const fixed = Buffer.alloc(16);
  fixed.set([1, type, 10]);
  fixed.writeUInt32LE(4711, 4);
  return Buffer.concat([fixed, ...attributes]);
}

test('only stream sockets are decoded, and only what was told of them', () => {
  const name = encodeAttribute(0, Buffer.from('/run/app.sock\0'));
  const file = encodeAttribute(1, Buffer.from(Uint32Array.of(77, 0x800001).buffer));
  expect(decodeUnixMessage(message(1, name, file))).toEqual({
    state: 'LISTEN',
    inode: 4711,
    uid: undefined,
    path: '/run/app.sock',
    file: { inode: 77, device: 0x800001 },
  });
  expect(decodeUnixMessage(message(1))).toMatchObject({ path: undefined, file: undefined });
  expect(decodeUnixMessage(message(2, name))).toBeUndefined();
});

test('no bytes make the decoder throw', () => {
  for (let round = 0; round < 20_000; round++) {
    const bytes = randomBytes(Math.floor(Math.random() * 64));
    if (round % 2 === 0 && bytes.length > 1) bytes[1] = 1;
    const found = decodeUnixMessage(bytes);
    if (found?.path !== undefined) expect(found.path.length).toBeGreaterThan(0);
  }
});
