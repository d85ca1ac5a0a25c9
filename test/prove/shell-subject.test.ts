import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { shellSubject } from '../../src/prove/shell-subject.ts';

const { signal } = new AbortController();

test.each([
  ['that exits with 0 is over', 'true', { ok: true }],
  [
    'that fails says with what',
    'echo no such service >&2; exit 3',
    { ok: false, detail: 'exit code 3: no such service' },
  ],
  ['that a signal ends says which', 'kill -9 $$', { ok: false, detail: 'SIGKILL' }],
])('a command %s', async (_, command, outcome) => {
  expect(await shellSubject(command, 0).restart(signal)).toEqual(outcome);
});

test('an abort ends the command, and all that it started', async () => {
  const controller = new AbortController();
  const restarting = shellSubject('sleep 1000 & sleep 1000', 0).restart(controller.signal);
  controller.abort();
  await expect(restarting).rejects.toThrow(/abort/);
});

test('an abort after the command has ended ends the wait', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'shell-'));
  const file = join(folder, 'pid');
  const controller = new AbortController();
  const restarting = shellSubject(`echo $$ > '${file}'`, 60_000).restart(controller.signal);
  await expect.poll(() => existsSync(file) && readFileSync(file, 'utf8')).toMatch(/^\d+\n$/);
  const pid = readFileSync(file, 'utf8').trim();
  await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false);
  controller.abort();
  await expect(restarting).rejects.toThrow(/abort/);
  rmSync(folder, { recursive: true });
});
