import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { startTicks } from '../../src/kernel/procfs.ts';
import { needs } from '../tools.ts';
import { ask, httpGet } from './clients.ts';
import { freePort, NOBODY, Supervised } from './harness.ts';

const FROM_A_THREAD_PY = fileURLToPath(new URL('../fixtures/servers/from-a-thread.py', import.meta.url));
const { test } = needs('linux', 'python3');

/** The number of the generation that answers. */
async function answers(port: number): Promise<string> {
  const { fate, answer } = await ask({ port, host: '127.0.0.1' }, httpGet);
  return fate === 'ok' ? answer.slice(answer.indexOf('\r\n\r\n') + 4) : fate;
}

for (const [what, env] of [
  ['whose main thread has ended', { MAIN: 'ends' }],
  ['that listens in a thread with descriptors of its own', { TABLE: 'own' }],
] as const) {
  test(`a server ${what} is restarted and stopped like any other`, async () => {
    const port = await freePort();
    await using run = await new Supervised(['python3', FROM_A_THREAD_PY, String(port)], { env }).started();
    expect(await answers(port)).toBe('1');
    await run.restart();
    expect(await answers(port)).toBe('2');
    expect(await run.stop()).toMatchObject({ signal: 'SIGTERM', left: [] });
    expect(run.transcript()).not.toMatch(/Cannot follow|"cut"/);
  });
}

test('a server whose main thread has ended is killed at the deadline', async () => {
  const port = await freePort();
  const env = { MAIN: 'ends', SIGTERM: 'ignored' };
  const args = ['--drain', '300ms'];
  await using run = await new Supervised(['python3', FROM_A_THREAD_PY, String(port)], { env, args }).started();
  await run.restart();
  expect(run.events).toContainEqual(expect.objectContaining({ type: 'cut', generation: 1, processes: 1 }));
  expect(await run.stop()).toMatchObject({ code: 137, left: [] });
});

needs('linux', 'python3', 'root', 'setpriv').test(
  'a process that not even SIGKILL ends is said, and keeps nobody waiting for ever',
  async () => {
    const port = await freePort();
    // Root without the right to signal others (capabilities(7), CAP_KILL), and a program that is another user's.
    const under = ['setpriv', '--bounding-set', '-kill', '--inh-caps', '-kill'];
    const args = ['--user', String(NOBODY), '--no-intercept', '--drain', '100ms'];
    const server = ['/usr/bin/python3', FROM_A_THREAD_PY, String(port)];
    await using run = await new Supervised(server, { under, args }).started();
    const { pid } = run.ready ?? {};
    run.kill('SIGTERM');
    await run.event('notice', ({ text }) => text.startsWith(`Cannot end pid ${pid} of generation 1`));
    await run.event('notice', ({ text }) => text.startsWith('Generation 1 does not end, and is waited for no longer'));
    await run.until(() => startTicks(run.pid) === undefined);
    expect(run.events.filter(({ type }) => type === 'cut')).toEqual([]);
    expect(await answers(port)).toBe('1');
    process.kill(pid ?? 0, 'SIGKILL');
    await run.end();
  },
);
