import { once } from 'node:events';
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { type Role, Spare } from '../../src/supervise/spare.ts';
import { NOBODY } from '../system/harness.ts';
import { needs } from '../tools.ts';

const { test } = needs('linux');
const { test: asRoot } = needs('root');

let folder: string;
let out: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'spare-'));
  chmodSync(folder, 0o755);
  out = openSync(join(folder, 'out'), 'w');
});
afterEach(() => {
  closeSync(out);
  rmSync(folder, { recursive: true });
});

/** What a role wrote, and how it ended. */
async function play(role: Partial<Role>, identity: { uid?: number; gid?: number } = {}) {
  const input = openSync('/dev/null', 'r');
  const spare = new Spare({ stdio: [input, out, 2], ...identity });
  const ended = once(spare.child, 'exit');
  try {
    spare.become({ command: ['true'], cwd: folder, env: { PATH: process.env.PATH }, ...role });
    return { ended: await ended, said: readFileSync(join(folder, 'out'), 'utf8') };
  } finally {
    await spare.discard();
    closeSync(input);
  }
}

test('becomes the command, in its session, under the filter, with nothing of the spare left', async () => {
  const script =
    'echo $0 "$@"; ls /proc/self/fd | grep -c "^.$"; grep -E "^(Seccomp|TracerPid|SigIgn|SigBlk):" /proc/self/status';
  const { ended, said } = await play({ command: ['sh', '-c', script, 'name', 'a b'] });
  expect(ended).toEqual([0, null]);
  expect(said.split('\n')).toEqual([
    'name a b',
    '4', // 0, 1, 2, and the directory that ls reads
    'TracerPid:\t0',
    'SigBlk:\t0000000000000000',
    'SigIgn:\t0000000000000000',
    'Seccomp:\t2',
    '',
  ]);
});

test('runs a script that does not say what runs it, as a shell would', async () => {
  writeFileSync(join(folder, 'script'), 'echo hello $1; exit 4\n', { mode: 0o755 });
  expect(await play({ command: ['./script', 'you'] })).toEqual({ ended: [4, null], said: 'hello you\n' });
});

test.each([
  ['that is not there', { command: ['no-such-command'] }, 'ENOENT'],
  ['by a path that is not there', { command: ['/no/such/command'] }, 'ENOENT'],
  ['that is not executable', { command: ['./out'] }, 'EACCES'],
  ['that is a directory', { command: ['/'] }, 'EACCES'],
  ['in a folder that is not there', { cwd: '/no/such/folder' }, 'ENOENT'],
  ['with more than the kernel takes', { command: ['true', 'x'.repeat(200_000)] }, 'E2BIG'],
])('says why it cannot become a command %s', async (_, role, code) => {
  await expect(play(role)).rejects.toMatchObject({ code });
});

asRoot('is another user', async () => {
  const { said } = await play({ command: ['id', '-u'] }, { uid: NOBODY, gid: NOBODY });
  expect(said).toBe(`${NOBODY}\n`);
});
