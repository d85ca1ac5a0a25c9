import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import type * as LoadThread from '../../src/prove/load-thread.ts';
import { ok, onRequests, plant } from './planted-server.ts';

// A thread has no loader for TypeScript, so the built package is what is tested.
const built = new URL('../../dist/prove/load-thread.js', import.meta.url);
const startLoadThread: typeof LoadThread.startLoadThread = async options => {
  if (!existsSync(built)) throw new Error('dist/ is missing: npm run build');
  return ((await import(built.href)) as typeof LoadThread).startLoadThread(options);
};

test('a load on its own thread sees what one on this thread sees', async () => {
  await using server = await plant(socket => onRequests(socket, () => socket.write(ok('ok', 'X-Generation: 7\r\n'))));
  const load = await startLoadThread({ target: server.url, classes: [{ kind: 'keep-alive-get', rate: 200 }] });
  await expect.poll(() => load.progress().ok).toBeGreaterThan(10);
  load.phase('restart');
  const { ok: before } = load.progress();
  await expect.poll(() => load.progress().ok).toBeGreaterThan(before + 10);
  const result = await load.stop();
  expect(result).toMatchObject({ failed: 0, ok: result.due, startedAt: load.startedAt });
  expect(result.generations).toMatchObject([{ generation: '7', answers: result.ok }]);
  expect(result.classes[0]?.phases.steady.ok).toBeGreaterThan(10);
  expect(result.classes[0]?.phases.restart.ok).toBeGreaterThan(5);
});

test('what holds this thread up delays no request of a load on its own', async () => {
  await using server = await plant(socket => onRequests(socket, () => socket.write(ok())));
  const load = await startLoadThread({ target: server.url, classes: [{ kind: 'fresh', rate: 100 }], timeoutMs: 9000 });
  await expect.poll(() => load.progress().ok).toBeGreaterThan(5);
  // The server shares this thread, so its answers do wait; the requests must not.
  const until = performance.now() + 1500;
  while (performance.now() < until);
  const result = await load.stop();
  expect(result.generator.lateMaxMs).toBeLessThan(1000);
  expect(result.failed).toBe(0);
});

test('an abort ends it and leaves a result', async () => {
  await using server = await plant(socket => socket.resume());
  const abort = new AbortController();
  const { signal } = abort;
  const load = await startLoadThread({ target: server.url, classes: [{ kind: 'fresh', rate: 100 }], signal });
  await expect.poll(() => load.progress().due).toBeGreaterThan(5);
  abort.abort();
  const result = await load.stop();
  expect(result.failed).toBe(0);
  expect(result.classes[0]?.abandoned).toBe(result.due);
});

test('what is wrong with the options is said as on this thread', async () => {
  const wrong = startLoadThread({ target: 3000, classes: [{ kind: 'fresh', rate: -1 }] });
  await expect(wrong).rejects.toMatchObject({ name: 'RelistenError', code: 'ERR_INVALID_ARG_VALUE' });
});
