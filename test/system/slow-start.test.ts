import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { KeepAlive } from '../fixtures/keep-alive.ts';
import { needs } from '../tools.ts';
import { FreshClients, httpGet } from './clients.ts';
import { freePort, Supervised } from './harness.ts';
import { generationAt, LISTENS_PY, runListens } from './listens.ts';
import { serverFolder } from './servers.ts';

const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };
const programPath = (name: string) => fileURLToPath(new URL(`../fixtures/programs/${name}`, import.meta.url));
const PROGRAMS = [
  ['a Node program', [programPath('http.cjs'), 'close', 'here']],
  ['a cluster', [programPath('http.cjs'), 'close', 'cluster']],
  ['a cluster whose workers accept', [programPath('http.cjs'), 'close', 'cluster-none']],
  ['a worker thread', [programPath('http.cjs'), 'close', 'thread']],
  ['serve()', [programPath('serving.mjs'), 'http']],
] as const;
const CLIENTS = 12;

const python = needs('linux', 'python3');
const { test } = needs('linux');

/** Until this generation is in that state. */
function reached(run: Supervised, generation: number, state: string) {
  return run.event('state', event => event.generation === generation && event.state === state);
}

/** The states that generations have entered, in order. */
function course(run: Supervised, generation: number): string[] {
  return run.events.flatMap(event => (event.type === 'state' && event.generation === generation ? [event.state] : []));
}

/** Until new clients have been answered by each of these. */
async function answeredByAll(run: Supervised, port: number, generations: number[]): Promise<void> {
  const left = new Set(generations);
  while (left.size > 0) {
    const generation = await generationAt(port);
    expect(generations, run.transcript()).toContain(generation);
    left.delete(generation);
  }
}

for (const [what, program] of PROGRAMS) {
  test(`connections of ${what} move bit by bit, before it is told to end`, async () => {
    const port = await freePort();
    const options = { args: ['--slow-start', '2s'], env: { PORT: String(port) } };
    await using run = new Supervised(['node', ...program], options);
    await run.started();
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => KeepAlive.open(port)));
    const askAll = () => Promise.all(clients.map(client => client.request('/')));
    expect(new Set(await askAll())).toEqual(new Set(['1 GET /']));
    run.kill('SIGHUP');
    await reached(run, 1, 'yielding');
    let mixed = 0;
    for (let moved = 0; moved < CLIENTS; ) {
      moved = (await askAll()).filter(answer => answer === '2 GET /').length;
      if (moved > 0 && moved < CLIENTS && !course(run, 1).includes('draining')) mixed++;
    }
    expect(mixed).toBeGreaterThan(0);
    await reached(run, 1, 'exited');
    await askAll();
    for (const client of clients) client.destroy();
    expect(course(run, 1)).toEqual(['starting', 'ready', 'yielding', 'draining', 'exited']);
    expect(run.lines.filter(line => /Warning/.test(line))).toEqual([]);
    expect(await run.stop()).toMatchObject({ left: [] });
  });
}

python.test('both serve meanwhile, and a restart ends the slow start of the one before', async () => {
  const port = await freePort();
  await using run = runListens(`127.0.0.1:${port}`, { args: ['--slow-start', '1h'] });
  await run.started();
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  run.kill('SIGHUP');
  await reached(run, 1, 'yielding');
  await answeredByAll(run, port, [1, 2]);
  run.kill('SIGHUP');
  await reached(run, 1, 'exited');
  await reached(run, 2, 'yielding');
  await answeredByAll(run, port, [2, 3]);
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  // Nor does it keep anybody who wants it to end.
  expect(await run.stop()).toMatchObject({ left: [] });
  expect(course(run, 2)).toEqual(['starting', 'ready', 'yielding', 'draining', 'exited']);
});

python.test('where the new one crashes, the old one serves on until another has been ready as long', async () => {
  using made = serverFolder();
  const port = await freePort();
  const bad = join(made.folder, 'bad');
  const script = `[ ! -e ${bad} ] || exit 3; exec python3 ${LISTENS_PY}`;
  await using run = runListens(`127.0.0.1:${port}`, { args: ['--slow-start', '600ms'] }, ['sh', '-c', script]);
  await run.started();
  run.kill('SIGHUP');
  await reached(run, 2, 'ready');
  await reached(run, 1, 'yielding');
  writeFileSync(bad, '');
  process.kill(run.ready?.pid ?? 0, 'SIGKILL');
  await reached(run, 2, 'exited');
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  await reached(run, 4, 'failed');
  expect(course(run, 1)).toEqual(['starting', 'ready', 'yielding']);
  await answeredByAll(run, port, [1]);
  rmSync(bad);
  await run.event('state', ({ generation, state }) => generation > 4 && state === 'ready');
  await reached(run, 1, 'exited');
  await clients.more(5);
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  const [ready, told] = [run.ready?.at ?? 0, (await reached(run, 1, 'draining')).at];
  expect(told - ready).toBeGreaterThanOrEqual(590);
  expect(await run.stop()).toMatchObject({ left: [] });
});

python.test('an old one that ends by itself meanwhile is gone, and that is all', async () => {
  const port = await freePort();
  await using run = runListens(`127.0.0.1:${port}`, { args: ['--slow-start', '1h'] });
  await run.started();
  const old = run.ready?.pid ?? 0;
  run.kill('SIGHUP');
  await reached(run, 1, 'yielding');
  process.kill(old, 'SIGKILL');
  expect(await reached(run, 1, 'exited')).toMatchObject({ exit: { signal: 'SIGKILL' } });
  expect(course(run, 1)).toEqual(['starting', 'ready', 'yielding', 'exited']);
  await answeredByAll(run, port, [2]);
  expect(course(run, 2)).toEqual(['starting', 'ready']);
  expect(await run.stop()).toMatchObject({ left: [] });
});
