import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { commandOf } from '../../scripts/leftovers.js';
import { statusLines } from '../../src/cli/status-text.ts';
import { processIds } from '../../src/kernel/process.ts';
import { relisten } from '../fixtures/relisten.ts';
import { needs } from '../tools.ts';
import { ask, FreshClients, httpGet } from './clients.ts';
import { freePort, NOBODY, type RunOptions, Supervised } from './harness.ts';
import { serverFolder } from './servers.ts';

const { test } = needs('linux');
const AT_ONCE = ['--standby', '0'];

/** A server that answers with its version and with `SAYS` of its environment. */
function writeServer(folder: string, version: string): string {
  const path = join(folder, 'server.cjs');
  const answer = `response.end([${JSON.stringify(version)}, process.env.SAYS ?? '', process.pid].join(' '))`;
  writeFileSync(
    path,
    `require('node:http').createServer((_, response) => ${answer}).listen(process.env.PORT, '127.0.0.1')`,
  );
  return path;
}

async function serve(folder: string, options: RunOptions = {}, command = ['node', writeServer(folder, 'one')]) {
  const port = await freePort();
  const run = new Supervised(command, { ...options, env: { ...options.env, PORT: String(port) } });
  await run.started();
  const answer = async () => (await fetch(`http://127.0.0.1:${port}/`, { headers: { Connection: 'close' } })).text();
  return { run, port, answer };
}

/** The process that is held for the next command, and has not become it. */
function spareOf(run: Supervised): number | undefined {
  return run.family(run.pid).find(pid => commandOf(pid) === 'relisten-spare');
}

/** Waits for the process that stands by for the generation after the ready one. */
async function stoodBy(run: Supervised): Promise<number> {
  const from = run.events.findLastIndex(event => event.type === 'state' && event.state === 'ready');
  const { pid } = await run.event('standby', () => true, from);
  run.look();
  return pid;
}

for (const [who, uid] of [
  ['root', 0],
  ['an ordinary user', NOBODY],
] as const) {
  needs('linux', ...(uid ? ['root', 'setpriv'] : [])).test(
    `as ${who}, the next generation is the process that stood by, and runs what is there at the restart`,
    async () => {
      using made = serverFolder();
      const { run, port, answer } = await serve(made.folder, { uid, args: AT_ONCE });
      await using _ = run;
      const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
      for (const version of ['two', 'three', 'four']) {
        const pid = await stoodBy(run);
        await clients.more(5);
        writeServer(made.folder, version);
        expect((await run.restart()).pid).toBe(pid);
        expect(await answer()).toBe(`${version}  ${pid}`);
      }
      expect(await clients.stop()).toMatchObject({ refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] });
      await stoodBy(run);
      expect(await run.stop()).toMatchObject({ signal: 'SIGTERM', left: [] });
    },
  );
}

test('a standby in an environment of before is not used', async () => {
  using made = serverFolder();
  const file = join(made.folder, 'env');
  writeFileSync(file, 'SAYS=before\n');
  const { run, answer } = await serve(made.folder, { args: [...AT_ONCE, '--env-file', file] });
  await using _ = run;
  const pid = await stoodBy(run);
  writeFileSync(file, 'SAYS=after\n');
  const ready = await run.restart();
  expect(ready.pid).not.toBe(pid);
  expect(await answer()).toBe(`one after ${ready.pid}`);
  expect(existsSync(`/proc/${pid}`)).toBe(false);
  const next = await stoodBy(run);
  expect((await run.restart()).pid).toBe(next);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a standby that somebody ends is done without', async () => {
  using made = serverFolder();
  const { run, answer } = await serve(made.folder, { args: AT_ONCE });
  await using _ = run;
  const pid = await stoodBy(run);
  // Its end and the restart in one breath: relisten may not have heard of it.
  run.kill('SIGSTOP');
  process.kill(pid, 'SIGKILL');
  await expect.poll(() => processIds(pid)?.zombie).toBe(true);
  const restarted = run.restart();
  run.kill('SIGCONT');
  const ready = await restarted;
  expect(ready.pid).not.toBe(pid);
  expect(await answer()).toBe(`one  ${ready.pid}`);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a generation that stood by and fails leaves the old one as it was, and the next one stands by', async () => {
  using made = serverFolder();
  const { run, answer } = await serve(made.folder, { args: AT_ONCE });
  await using _ = run;
  const pid = await stoodBy(run);
  const first = await answer();
  writeFileSync(join(made.folder, 'server.cjs'), 'throw new Error("not yet")');
  run.kill('SIGHUP');
  const failed = await run.event('state', ({ state }) => state === 'failed');
  expect(failed).toMatchObject({ generation: 2, pid, exit: { code: 1 } });
  expect(await answer()).toBe(first);
  writeServer(made.folder, 'mended');
  const next = await run.event('standby', event => event.pid !== pid);
  expect(await run.restart()).toMatchObject({ generation: 3, pid: next.pid });
  expect(await answer()).toBe(`mended  ${next.pid}`);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a crash is answered by the process that stood by', async () => {
  using made = serverFolder();
  const { run, answer } = await serve(made.folder, { args: AT_ONCE });
  await using _ = run;
  const pid = await stoodBy(run);
  process.kill(run.ready?.pid ?? 0, 'SIGKILL');
  await run.event('state', event => event.generation === 2 && event.state === 'ready');
  expect(await answer()).toBe(`one  ${pid}`);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('a standby ends with relisten that is killed, and the server goes on', async () => {
  using made = serverFolder();
  const { run, port, answer } = await serve(made.folder, { args: AT_ONCE });
  await using _ = run;
  const pid = await stoodBy(run);
  const server = run.ready?.pid ?? 0;
  run.kill('SIGKILL');
  await expect.poll(() => processIds(pid)?.zombie ?? true).toBe(true);
  expect(await ask({ port, host: '127.0.0.1' }, httpGet)).toMatchObject({ fate: 'ok' });
  expect(await answer()).toBe(`one  ${server}`);
  process.kill(server);
  await run.exit(); // its output is the server's, too
});

test('status shows it', async () => {
  using made = serverFolder();
  const { run } = await serve(made.folder, { args: [...AT_ONCE, '--name', 'shown'] });
  await using _ = run;
  const pid = await stoodBy(run);
  const { stdout } = await relisten(['status', 'shown', '--json'], { env: { XDG_RUNTIME_DIR: run.runtime } });
  const status = JSON.parse(stdout);
  expect(status).toMatchObject({ standby: pid });
  expect(statusLines(status).join('\n')).toMatch(new RegExp(`standby +pid ${pid} waits`));
  expect(readFileSync(`/proc/${pid}/comm`, 'utf8')).toBe('relisten-spare\n');
  expect(await run.stop()).toMatchObject({ left: [] });
});

// What was started in advance would have done its work too early; that nothing stands by shows at the restart.
for (const [what, command, args] of [
  ['a shell that becomes Node', (path: string) => ['sh', '-c', `exec node ${path}`], []],
  ['Node with an env file of its own', (path: string) => ['node', '--env-file=/dev/null', path], []],
  ['a program whose hook was left out', (path: string) => ['node', path], ['--no-hook']],
  ['one that is not to', (path: string) => ['node', path], ['--no-standby']],
] as const) {
  test(`${what} has no standby`, async () => {
    using made = serverFolder();
    const options = args[0] === '--no-standby' ? [...args] : [...AT_ONCE, ...args];
    const path = writeServer(made.folder, 'one');
    const { run } = await serve(made.folder, { args: options }, [...command(path)]);
    await using _ = run;
    for (let restart = 0; restart < 2; restart++) {
      const { at } = await run.restart();
      // The stage, which comes in any case, is set after any standby would have begun.
      await run.until(() => Date.now() - at > 700);
    }
    expect(run.events.some(({ type }) => type === 'standby')).toBe(false);
    expect(await run.stop()).toMatchObject({ left: [] });
  });
}

test('what a shell starts in a session of its own speaks for itself alone: the shell is not run in advance', async () => {
  using made = serverFolder();
  const work = join(made.folder, 'work');
  const script = `echo done >> ${work}; setsid --wait node ${writeServer(made.folder, 'one')}`;
  writeFileSync(join(made.folder, 'start.sh'), script);
  const { run } = await serve(made.folder, { args: AT_ONCE }, ['bash', join(made.folder, 'start.sh')]);
  await using _ = run;
  for (let restart = 0; restart < 2; restart++) {
    await run.restart();
    await run.until(() => spareOf(run) !== undefined);
  }
  expect(readFileSync(work, 'utf8')).toBe('done\n'.repeat(3));
  expect(run.events.some(({ type }) => type === 'standby')).toBe(false);
  expect(await run.stop()).toMatchObject({ left: [] });
});

test('an env file that tells Node to do something in advance is waited for', async () => {
  using made = serverFolder();
  const file = join(made.folder, 'env');
  writeFileSync(file, '');
  const { run } = await serve(made.folder, { args: ['--standby', '200ms', '--env-file', file] });
  await using _ = run;
  writeFileSync(file, `NODE_OPTIONS=--inspect=${await freePort()}\n`);
  // The stage is set later than a standby would have begun on it.
  await run.until(() => spareOf(run) !== undefined);
  expect(run.family(run.pid).filter(pid => commandOf(pid).startsWith('node '))).toEqual([run.ready?.pid]);
  expect((await run.restart()).generation).toBe(2);
  expect(await run.stop()).toMatchObject({ left: [] });
});

for (const [what, signal] of [
  ['a standby that somebody has stopped', 'SIGSTOP'],
  ['a spare that somebody ends while it is held', 'SIGTERM'],
] as const) {
  test(`${what} is done without`, async () => {
    using made = serverFolder();
    const isSpare = signal === 'SIGTERM';
    const { run, answer } = await serve(made.folder, { args: isSpare ? ['--no-standby'] : AT_ONCE });
    await using _ = run;
    if (isSpare) await run.until(() => spareOf(run) !== undefined);
    const pid = isSpare ? spareOf(run) : await stoodBy(run);
    process.kill(pid ?? 0, signal);
    // A signal takes effect when its process runs next: until then it is a standby like any other.
    if (!isSpare) await run.until(() => processIds(pid ?? 0)?.state === 'T');
    const ready = await run.restart();
    expect(ready.pid).not.toBe(pid);
    expect(await answer()).toBe(`one  ${ready.pid}`);
    expect(await run.stop()).toMatchObject({ left: [] });
  });
}
