import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { needs } from '../tools.ts';
import { freePort, Supervised } from './harness.ts';

const { test } = needs('linux', 'python3');
const OUTLIVED_PY = fileURLToPath(new URL('../fixtures/servers/outlived.py', import.meta.url));

async function start(late: number) {
  const env = { PORT: String(await freePort()), LATE: String(late) };
  const run = await new Supervised(['python3', OUTLIVED_PY], { env }).started();
  const survivor = Number((await run.line(/^outlives \d+$/)).split(' ')[1]);
  return { run, survivor };
}

/** Rejects where nobody listens. */
async function reach(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.destroy();
}

test('a process that outlives its generation listens as if nobody looked, and what it listens on is not held', async () => {
  const late = await freePort();
  const { run, survivor } = await start(late);
  await using _ = run;
  await run.restart();
  process.kill(survivor, 'SIGUSR1');
  expect(await run.line(/^late:/)).toBe('late: ok');
  await reach(late);
  await run.restart();
  await reach(late);
  const held = run.events.flatMap(event => (event.type === 'listening' ? [event.address] : []));
  expect(held).not.toContain(`127.0.0.1:${late}`);
  process.kill(survivor, 'SIGUSR1');
  await run.until(() => !existsSync(`/proc/${survivor}`));
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a process that outlives relisten listens as if nobody looked, too, and leaves nothing behind at its end', async () => {
  const late = await freePort();
  const { run, survivor } = await start(late);
  await using _ = run;
  await run.restart();
  run.look();
  run.kill('SIGTERM');
  await run.until(() => !existsSync(`/proc/${run.pid}`));
  process.kill(survivor, 'SIGUSR1');
  expect(await run.line(/^late:/)).toBe('late: ok');
  await reach(late);
  process.kill(survivor, 'SIGUSR1');
  expect(await run.end()).toMatchObject({ signal: 'SIGTERM', left: [] });
});
