import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { close } from '../../src/kernel/fd.ts';
import type { HeldListener, Holder } from '../../src/supervise/holder.ts';
import { Running } from '../../src/supervise/running.ts';
import { watchUnusedPorts } from '../../src/supervise/unused-port.ts';
import { listener } from '../fixtures/tcp.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A client that waits on a port of -p, which a generation that is ready does not serve. */
async function inVain() {
  const { fd, port } = listener();
  const client = connect(port, '127.0.0.1');
  await once(client, 'connect');
  const running = new Running(1, () => {});
  running.become('ready');
  const address = { family: 'IPv4', host: '127.0.0.1', port };
  const held = { fd, address, pinned: true, afterMs: undefined, generations: new Set() } as Partial<HeldListener>;
  const said: string[] = [];
  watchUnusedPorts(running, { listeners: [held] } as unknown as Holder, text => said.push(text));
  const end = () => {
    client.destroy();
    close(fd);
  };
  return { running, port, said, end };
}

it('says once that clients wait where nobody accepts', async () => {
  const { port, said, end } = await inVain();
  vi.advanceTimersByTime(5_000);
  expect(said).toEqual([
    `Clients wait on 127.0.0.1:${port}, and nobody accepts them: generation 1 has not called listen(2)`,
  ]);
  end();
});

it('says nothing of a generation that is ending', async () => {
  const { running, said, end } = await inVain();
  vi.advanceTimersByTime(1_000);
  running.become('draining');
  vi.advanceTimersByTime(5_000);
  expect(said).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
  end();
});
