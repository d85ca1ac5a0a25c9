import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { leftFiles, leftProcesses } from '../../scripts/leftovers.js';

test('a process that outlives its parent is found by the mark it was started with', async () => {
  const mark = `RELISTEN_LEFTOVER=${process.pid}`;
  const [name = '', value] = mark.split('=');
  const script = 'sleep 1000 >/dev/null & echo $!';
  const parent = spawn('sh', ['-c', script], {
    env: { ...process.env, [name]: value },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [chunk] = await once(parent.stdout, 'data');
  await once(parent, 'exit');
  const orphan = Number(String(chunk));
  // Its environment cannot be read in the moment of its execve(2).
  await expect.poll(() => leftProcesses(mark)).toEqual([expect.stringContaining(`process ${orphan} (`)]);
  process.kill(orphan, 'SIGKILL');
  await expect.poll(() => leftProcesses(mark)).toEqual([]);
});

test('files are what was left, caches are not', () => {
  const folder = mkdtempSync(join(tmpdir(), 'left-'));
  writeFileSync(join(folder, 'relisten-x'), '');
  writeFileSync(join(folder, 'node-compile-cache'), '');
  expect(leftFiles(folder)).toEqual([join(folder, 'relisten-x')]);
  rmSync(folder, { recursive: true });
  expect(leftFiles(folder)).toEqual([]);
});
