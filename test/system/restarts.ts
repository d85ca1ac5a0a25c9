import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { needs } from '../tools.ts';
import { FreshClients, httpGet, queueClients, type Tally } from './clients.ts';
import { freePort, type RunOptions, Supervised } from './harness.ts';
import { type Server, serverFolder } from './servers.ts';

const RESTARTS = 5;
/** Python's socketserver asks for a backlog of 5. */
const QUEUED = 5;

/** The system test that every server passes, as some user. */
export function testRestarts(server: Server, who: string, options: RunOptions): void {
  needs('linux', ...server.tools, ...(options.uid ? ['root', 'setpriv'] : [])).test(
    `${server.name} as ${who} restarts ${RESTARTS} times, and no client that connects afresh is refused`,
    async () => {
      using made = serverFolder();
      const port = await freePort();
      const target = { port, host: '127.0.0.1' };
      const args = server.stopSignal ? ['--stop-signal', server.stopSignal] : [];
      const command = server.command(port, made.folder);
      const env = server.env?.(port, made.folder) ?? {};
      await using run = new Supervised(command, { ...options, args, env });
      await run.started();
      const exchange = server.exchange ?? httpGet;

      const clients = new FreshClients(target, exchange);
      await clients.more(20);
      for (let restart = 2; restart <= RESTARTS + 1; restart++) {
        const { generation } = await run.restart();
        expect(generation).toBe(restart);
        await clients.more(10);
      }
      expectServed(await clients.stop(), server);

      expect(await queuedWhileNobodyAccepts(run, target, server)).toMatchObject({ ok: QUEUED, details: [] });

      const end = await run.stop();
      expect(end.left).toEqual([]);
      const asked = /^SIG(HUP|TERM): /;
      const odd = run.events.filter(
        event => event.type === 'cut' || (event.type === 'notice' && !asked.test(event.text)),
      );
      expect(odd).toEqual([]);
    },
  );
}

function expectServed(tally: Tally, { dropsAccepted }: Server): void {
  const { ok, refused, reset, eof, timeout, other, details } = tally;
  expect({ refused, timeout, other, details }).toMatchObject({ refused: 0, timeout: 0, other: 0 });
  expect(ok).toBeGreaterThan(50);
  if (!dropsAccepted) expect({ reset, eof, details }).toEqual({ reset: 0, eof: 0, details: [] });
  // At most what the server had accepted when it was told to stop: a few, of one client every 8 ms.
  else expect({ lost: reset + eof <= 2 * RESTARTS, details }).toMatchObject({ lost: true });
}

/**
 * Clients that connect while the whole old generation is stopped, and so wait in the backlog: the new one answers them.
 */
async function queuedWhileNobodyAccepts(
  run: Supervised,
  target: { port: number; host: string },
  server: Server,
): Promise<Tally> {
  const old = run.family(run.ready?.pid);
  const from = run.events.length;
  await suspend(old);
  const { outcome } = await queueClients(target, server.exchange ?? httpGet, QUEUED);
  run.kill('SIGHUP');
  await run.event('state', ({ state }) => state === 'ready', from);
  const tally = await outcome;
  signalAll(old, 'SIGCONT');
  await run.event('state', ({ state }) => state === 'exited', from);
  return tally;
}

/** A process that is told to stop may still accept what comes before it has seen the signal; one that has ended may not. */
async function suspend(pids: number[]): Promise<void> {
  signalAll(pids, 'SIGSTOP');
  const mayAccept = (pid: number) => {
    try {
      return !/^[TZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /s, ''));
    } catch {
      return false;
    }
  };
  while (pids.some(mayAccept)) await delay(1);
}

/** A server that forks for each connection has processes that end at any time. */
function signalAll(pids: number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended.
    }
  }
}
