import { execFile } from 'node:child_process';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { addressOf, call, hasLibc } from '../../src/kernel/libc.ts';

const run = promisify(execFile);
const DIST = fileURLToPath(new URL('../../dist', import.meta.url));

test('a call that fails names its arguments, and leaves out what a buffer holds', () => {
  expect(() => call('bind', [-1, Buffer.alloc(16), 16])).toThrow('bind(-1, …, 16) failed: bad file descriptor (EBADF)');
  expect(() => call('close', [-1], 'the holder')).toThrow('close(the holder) failed');
});

test('a buffer is filled in place', () => {
  const pair = new Int32Array(2);
  call('pipe2', [pair, 0o2000000]);
  call('write', [pair[1] ?? -1, Buffer.from('through'), 7]);
  const read = Buffer.alloc(16);
  expect(call('read', [pair[0] ?? -1, read, 16])).toBe(7);
  expect(read.toString('utf8', 0, 7)).toBe('through');
  for (const fd of pair) call('close', [fd]);
});

test('a buffer has the address that C sees', () => {
  const bytes = Buffer.alloc(64);
  expect(addressOf(bytes.subarray(8)) - addressOf(bytes)).toBe(8n);
});

describe('where FFI is missing', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.resetModules();
  });

  test('another platform is named in the one error that every call throws', async () => {
    vi.stubGlobal('process', { ...process, platform: 'darwin' });
    const libc = await import('../../src/kernel/libc.ts?elsewhere' as '../../src/kernel/libc.ts');
    expect(libc.hasLibc()).toBe(false);
    for (const name of ['socket', 'bind', 'pidfd_open'] as const) {
      expect(() => libc.call(name, [])).toThrow(
        expect.objectContaining({ code: 'ERR_NO_FFI', message: expect.stringContaining('this is darwin') }),
      );
    }
  });

  test('so is a koffi that was not installed, with why', async () => {
    const copy = join(tmpdir(), 'copy');
    cpSync(DIST, copy, { recursive: true });
    writeFileSync(join(copy, 'package.json'), '{ "type": "module" }');
    const script = `
      import { call, hasLibc } from ${JSON.stringify(pathToFileURL(join(copy, 'kernel/libc.js')))};
      try { call('socket', [2, 1, 0]); } catch ({ code, message, cause }) {
        console.log(JSON.stringify({ has: hasLibc(), code, message, cause: cause.code }));
      }`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
    rmSync(copy, { recursive: true });
    expect(JSON.parse(stdout)).toEqual({
      has: false,
      code: 'ERR_NO_FFI',
      message: expect.stringContaining('koffi has no binary for'),
      cause: 'MODULE_NOT_FOUND',
    });
  });

  test('this machine is not such a one', () => {
    expect(hasLibc()).toBe(true);
  });
});

describe('importing relisten', () => {
  test('loads no FFI and no other package', async () => {
    const script = `
      await import(${JSON.stringify(pathToFileURL(join(DIST, 'index.js')))});
      console.log(JSON.stringify(process.report.getReport().sharedObjects.filter(name => name.endsWith('.node'))));
      console.log(JSON.stringify(Object.keys((await import('node:module')).createRequire(import.meta.url).cache)));`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
    expect(
      stdout
        .trim()
        .split('\n')
        .map(line => JSON.parse(line)),
    ).toEqual([[], []]);
  });
});
