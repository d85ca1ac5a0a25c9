import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { needs } from '../tools.ts';
import { ask, FreshClients, httpGet } from './clients.ts';
import { freePort, Supervised } from './harness.ts';
import { LISTENS_PY, runListens } from './listens.ts';
import { serverFolder } from './servers.ts';

const EM_386 = 3;

/**
 * A program of i386 in 32-bit ELF, without a C library: socketcall(SYS_SOCKET), then exit(42) where that gave a
 * descriptor, else exit(1). Its system calls have another architecture's numbers, which the filter must let pass.
 */
function tiny32(): Buffer {
  const base = 0x08048000;
  const headers = 52 + 32;
  const code = Buffer.from([
    ...[0x6a, 0x00, 0x6a, 0x01, 0x6a, 0x02], // push 0 (protocol); push SOCK_STREAM; push AF_INET
    ...[0x89, 0xe1], // mov ecx, esp
    ...[0xbb, 0x01, 0x00, 0x00, 0x00], // mov ebx, SYS_SOCKET
    ...[0xb8, 0x66, 0x00, 0x00, 0x00, 0xcd, 0x80], // mov eax, socketcall; int 0x80
    ...[0x89, 0xc2], // mov edx, eax
    ...[0x6a, 0x05, 0x52], // push 5 (backlog); push edx
    ...[0x89, 0xe1], // mov ecx, esp
    ...[0xbb, 0x04, 0x00, 0x00, 0x00], // mov ebx, SYS_LISTEN
    ...[0xb8, 0x66, 0x00, 0x00, 0x00, 0xcd, 0x80], // mov eax, socketcall; int 0x80
    ...[0x85, 0xc0], // test eax, eax
    ...[0xbb, 0x2a, 0x00, 0x00, 0x00], // mov ebx, 42
    ...[0x74, 0x05], // jz exit
    ...[0xbb, 0x01, 0x00, 0x00, 0x00], // mov ebx, 1
    ...[0xb8, 0x01, 0x00, 0x00, 0x00, 0xcd, 0x80], // exit: mov eax, exit; int 0x80
  ]);
  const size = headers + code.length;
  const file = Buffer.alloc(size);
  file.write('\x7fELF\x01\x01\x01', 0, 'latin1');
  const put16 = (values: number[], at: number) => {
    for (const [index, value] of values.entries()) file.writeUInt16LE(value, at + index * 2);
  };
  const put32 = (values: number[], at: number) => {
    for (const [index, value] of values.entries()) file.writeUInt32LE(value, at + index * 4);
  };
  put16([2, EM_386], 16); // ET_EXEC
  put32([1, base + headers, 52, 0, 0], 20); // version, entry, program headers, section headers, flags
  put16([52, 32, 1, 0, 0, 0], 40);
  put32([1, 0, base, base, size, size, 5, 0x1000], 52); // PT_LOAD, offset, addresses, sizes, r-x, alignment
  code.copy(file, headers);
  return file;
}

const { test } = needs('linux', 'python3');

test('a child of another architecture passes unfiltered', async () => {
  using made = serverFolder();
  const path = join(made.folder, 'tiny32');
  writeFileSync(path, tiny32());
  chmodSync(path, 0o755);
  const port = await freePort();
  const script = `${path}; echo "tiny32 ended with $?" >&2; exec python3 ${LISTENS_PY}`;
  await using run = runListens(`127.0.0.1:${port}`, {}, ['sh', '-c', script]);
  await run.started();
  // 42: socket and listen worked; 126 or 139: this kernel was built without 32-bit support.
  expect(await run.line(/^tiny32 ended/)).toMatch(/ended with (42|126|139)$/);
  expect(await ask({ port, host: '127.0.0.1' }, httpGet)).toMatchObject({ fate: 'ok' });
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a program that signals interrupt all the time binds and listens as ever', async () => {
  const port = await freePort();
  // As Go's runtime does with SIGURG (SA_RESTART), and every half millisecond.
  const script = [
    'import os, runpy, signal',
    'signal.signal(signal.SIGALRM, lambda *_: None)',
    'signal.siginterrupt(signal.SIGALRM, False)',
    'signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)',
    `runpy.run_path(${JSON.stringify(LISTENS_PY)}, run_name="__main__")`,
  ].join('\n');
  await using run = new Supervised(['python3', '-c', script], { env: { LISTENS: `127.0.0.1:${port}` } });
  await run.started();
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  for (let restart = 0; restart < 3; restart++) {
    await run.restart();
    await clients.more(10);
  }
  const { refused, timeout, other, details } = await clients.stop();
  expect({ refused, timeout, other, details }).toMatchObject({ refused: 0, timeout: 0, other: 0 });
  expect(run.events.filter(({ type }) => type === 'listening')).toHaveLength(1);
  expect(await run.stop()).toMatchObject({ left: [] });
});
