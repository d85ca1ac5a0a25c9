import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type * as fs from 'node:fs';
import { readlinkSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { afterEach, expect, vi } from 'vitest';
import { processIds } from '../../src/kernel/process.ts';
import { Tracee } from '../../src/kernel/ptrace.ts';
import { needs } from '../tools.ts';

const onOpened = vi.hoisted(() => vi.fn<(path: fs.PathLike) => void>());
vi.mock('node:fs', async original => {
  const real = await original<typeof fs>();
  const openSync = (...args: Parameters<typeof real.openSync>) => {
    const fd = real.openSync(...args);
    onOpened(args[0]);
    return fd;
  };
  return { ...real, openSync };
});

const { test } = needs('linux');
const children: ChildProcess[] = [];

/** A shell that waits for its first line. */
function waiting(): ChildProcess & { pid: number } {
  const child = spawn('/bin/sh', [], { stdio: ['pipe', 'pipe', 'inherit'], env: {} });
  children.push(child);
  if (child.pid === undefined) throw new Error('no shell');
  return child as ChildProcess & { pid: number };
}

function isZombie(pid: number): boolean {
  return processIds(pid)?.zombie === true;
}

afterEach(async () => {
  onOpened.mockReset();
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});

test('makes system calls in the place of a process, which then goes on as if nothing had been', async () => {
  const child = waiting();
  const tracee = new Tracee(child.pid);
  tracee.chdir('/usr');
  expect(readlinkSync(`/proc/${child.pid}/cwd`)).toBe('/usr');
  expect(tracee.call('dup3', [1, 77, 0])).toBe(77n);
  expect(readlinkSync(`/proc/${child.pid}/fd/77`)).toBe(readlinkSync(`/proc/${child.pid}/fd/1`));
  expect(() => tracee.call('close', [78])).toThrow(/^close\(78\) failed: bad file descriptor \(EBADF\)$/);
  expect(() => tracee.chdir('/no/such/folder')).toThrow(/^chdir\(\/no\/such\/folder\) failed: .*ENOENT/);
  expect(readlinkSync(`/proc/${child.pid}/cwd`)).toBe('/usr');
});

test('has it become another program, with exactly these arguments and variables', async () => {
  const child = waiting();
  const tracee = new Tracee(child.pid);
  expect(() => tracee.execve('/no/such/program', ['x'], {})).toThrow(/^execve\(\/no\/such\/program\) failed: .*ENOENT/);
  const script = 'process.stdout.write(JSON.stringify([process.argv0, process.argv.slice(1), process.env]))';
  const awkward = ['', 'a b', "it's", '$HOME', 'ünï\n', 'x'.repeat(100_000)];
  const env = { 'npm.config-x': '1', EMPTY: '', LONG: 'y'.repeat(100_000), TEXT: 'a=b\n' };
  const output = text(child.stdout ?? process.stdin);
  tracee.execve(process.execPath, ['my name', '-e', script, '--', ...awkward], { ...env, GONE: undefined });
  expect(JSON.parse(await output)).toEqual(['my name', awkward, env]);
});

test('takes signals along, and is ended by those that end it', async () => {
  const child = waiting();
  const tracee = new Tracee(child.pid);
  child.kill('SIGWINCH');
  expect(tracee.call('dup3', [1, 77, 0])).toBe(77n);
  child.kill('SIGKILL');
  expect(() => tracee.call('dup3', [1, 78, 0])).toThrow(/ESRCH/);
  expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
});

test('says so where it is killed when its memory is about to be written', async () => {
  const child = waiting();
  const tracee = new Tracee(child.pid);
  onOpened.mockImplementation(path => {
    if (path !== `/proc/${child.pid}/mem`) return;
    child.kill('SIGKILL');
    // Its memory goes with it, and the zombie stays: nobody reaps it before this turn of the event loop is over.
    while (!isZombie(child.pid));
  });
  expect(() => tracee.place(Buffer.from('text'))).toThrow(/ESRCH/);
  expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
});

test('says that a process has ended before anybody has reaped it', async () => {
  const child = waiting();
  child.kill('SIGKILL');
  while (!isZombie(child.pid));
  expect(() => new Tracee(child.pid)).toThrow(/^ptrace\(PTRACE_SEIZE, \d+\) failed: no such process \(ESRCH\)$/);
  await once(child, 'exit');
});

test('says why it cannot: one tracer has it, or it has ended', async () => {
  const child = waiting();
  new Tracee(child.pid);
  expect(() => new Tracee(child.pid)).toThrow(
    /^ptrace\(PTRACE_SEIZE, \d+\) failed: operation not permitted \(EPERM\)$/,
  );
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(() => new Tracee(child.pid)).toThrow(/^ptrace\(PTRACE_SEIZE, \d+\) failed: no such process \(ESRCH\)$/);
});
