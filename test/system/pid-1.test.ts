import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { expect } from 'vitest';
import { commandOf } from '../../scripts/leftovers.js';
import { descendants, processIds } from '../../src/kernel/process.ts';
import { needs } from '../tools.ts';
import { FreshClients, httpGet } from './clients.ts';
import { freePort, type RunOptions, Supervised } from './harness.ts';
import { LISTENS, LISTENS_PY } from './listens.ts';

/*
 * As the first process of a container, relisten is whom the kernel gives every orphan to, and what ends when it ends
 * (pid_namespaces(7)).
 */

const { test } = needs('root', 'unshare', 'python3');
const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };

/** relisten as pid 1. Pids in its events are those of the namespace; all others are ours. */
class FirstProcess extends Supervised {
  constructor(command: string[], options: RunOptions = {}) {
    super(command, { ...options, under: ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'] });
  }

  /** relisten's own pid: unshare waits for it, and ends as it does. */
  get relisten(): number {
    return descendants(this.pid)[1]?.pid ?? 0;
  }

  override kill(signal: NodeJS.Signals): void {
    process.kill(this.relisten, signal);
  }
}

/** Its own pid in each namespace, the innermost last (proc_pid_status(5)). */
function innermostPid(pid: number): number {
  const [, pids = ''] = /^NSpid:(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(pids.trim().split(/\s+/).at(-1));
}

test('pid 1 reaps the orphans of its server, and what the server never waited for', async () => {
  const port = await freePort();
  // Ten orphans, and a child of the server, which never waits for it.
  const leave = 'for i in 0 1 2 3 4 5 6 7 8 9; do (exec sleep 600 &) ; done; sleep 600 &';
  const script = `if [ "$RELISTEN_GENERATION" = 1 ]; then ${leave} fi; exec python3 ${LISTENS_PY}`;
  await using run = new FirstProcess(['sh', '-c', script], { env: { LISTENS: `127.0.0.1:${port}` } });
  await run.started();
  const { relisten } = run;
  expect(innermostPid(relisten)).toBe(1);

  const sleeps = () => descendants(relisten).filter(({ pid }) => commandOf(pid).startsWith('sleep'));
  const orphans = () => sleeps().filter(({ ppid }) => ppid === relisten);
  await run.until(() => sleeps().length === 11 && orphans().length === 10);
  const [child, ...others] = sleeps().sort((a, b) => Number(a.ppid === relisten) - Number(b.ppid === relisten));
  for (const { pid } of sleeps()) process.kill(pid, 'SIGKILL');
  await run.until(() => others.every(({ pid }) => !processIds(pid)));
  await run.until(() => processIds(child?.pid ?? 0)?.zombie === true);

  await run.restart();
  await run.until(() => !processIds(child?.pid ?? 0)); // it was given to pid 1
  await run.until(() => !descendants(relisten).some(({ zombie }) => zombie));
  expect(await run.stop()).toMatchObject({ code: 0, left: [] });
});

test('pid 1 drains its server at SIGTERM, and ends as the server did', async () => {
  const port = await freePort();
  const script = `
    require('node:http').createServer((request, response) => {
      response.flushHeaders();
      request.resume().on('end', () => response.end('whole'));
    }).listen(${port}, '127.0.0.1')`;
  await using run = new FirstProcess([process.execPath, '-e', script]);
  await run.started();
  await run.restart();
  expect(run.ready?.generation).toBe(2);

  const asked = request({ port, host: '127.0.0.1', method: 'POST', agent: false });
  asked.write('first half, ');
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  run.look();
  run.kill('SIGTERM');
  await run.event('state', ({ generation, state }) => generation === 2 && state === 'draining');
  asked.end('second half');
  expect(await text(response)).toBe('whole');
  expect(await run.end()).toEqual({ code: 143, signal: null, left: [] });
});

test('clients of a server below pid 1 lose nothing by restarts', async () => {
  const port = await freePort();
  await using run = new FirstProcess(LISTENS, { env: { LISTENS: `127.0.0.1:${port}` } });
  await run.started();
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  for (const generation of [2, 3, 4]) {
    expect(await run.restart()).toMatchObject({ generation });
    await clients.more(20);
  }
  expect(await clients.stop()).toMatchObject(NOBODY_LOST);
  expect(run.events.filter(({ type }) => type === 'unintercepted' || type === 'cut')).toEqual([]);
  expect(await run.stop()).toMatchObject({ code: 0, left: [] });
});
