import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { holdPort } from '../fixtures/hold-port.ts';
import { RELISTEN } from '../fixtures/relisten.ts';
import { needs } from '../tools.ts';
import { freePort, Supervised } from './harness.ts';
import { LISTENS_PY } from './listens.ts';

/*
 * Where a container's seccomp profile refuses what signals a process by descriptor, with the errno of its choice.
 */

const DENY_PY = fileURLToPath(new URL('../fixtures/deny.py', import.meta.url));
const { test } = needs('linux', 'python3');

for (const { call, number, errno } of [
  { call: 'pidfd_open', number: 434, errno: 1 },
  { call: 'pidfd_open', number: 434, errno: 38 },
  { call: 'pidfd_send_signal', number: 424, errno: 1 },
]) {
  const under = ['python3', DENY_PY, String(errno), String(number)];

  test(`a server is restarted and stopped where ${call} fails with ${errno}`, async () => {
    const env = { LISTENS: `127.0.0.1:${await freePort()}` };
    const args = ['--strategy', 'stop-first'];
    await using run = new Supervised(['python3', LISTENS_PY], { under, args, env });
    await run.started();
    expect(await run.restart()).toMatchObject({ generation: 2 });
    expect(await run.stop()).toEqual({ code: 0, signal: null, left: [] });
    expect(run.transcript()).not.toContain('Cannot end');
  });

  test(`relisten free stops who listens where ${call} fails with ${errno}`, async () => {
    const { port, exited } = await holdPort();
    const [python = '', ...wrapper] = under;
    execFileSync(python, [...wrapper, process.execPath, RELISTEN, 'free', `127.0.0.1:${port}`], { stdio: 'ignore' });
    expect(await exited).toEqual([null, 'SIGTERM']);
  });
}
