import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { close } from '../../src/kernel/fd.ts';
import { listen } from '../../src/kernel/socket.ts';
import { KeepAlive, requestOf } from '../fixtures/keep-alive.ts';
import { end, orderToGive, startPassing } from '../fixtures/passing.ts';
import { boundSocket } from '../fixtures/tcp.ts';

const CONNECTIONS = 50;
const ROUNDS = 200;
/** The next request is sent at offsets from the order to hand off up to this. */
const LAST_OFFSET_MS = 20;

const fdsOf = ({ pid }: ChildProcess) => readdirSync(`/proc/${pid}/fd`).length;

/** Writes a request whole, byte by byte, or in two pieces some time apart. */
async function write(client: KeepAlive, request: string, way: number): Promise<void> {
  if (way === 0) client.socket.write(request);
  else if (way === 1) {
    for (const byte of request) {
      client.socket.write(byte);
      await new Promise(setImmediate);
    }
  } else {
    const cut = 1 + Math.floor(Math.random() * (request.length - 1));
    client.socket.write(request.slice(0, cut));
    await pause(Math.random() * 4);
    client.socket.write(request.slice(cut));
  }
}

test(`a request that comes at any moment of a handoff is answered, ${CONNECTIONS * ROUNDS} times`, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'race-'));
  const { fd, port } = boundSocket();
  listen(fd, 128);
  const children = [await startPassing(1, directory, fd), await startPassing(2, directory, fd)] as const;
  const before = children.map(fdsOf);
  const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => KeepAlive.open(port)));
  const failures: string[] = [];
  let handedOver = 0;

  /** One request of one client, at its offset. */
  async function ask(client: KeepAlive, index: number, round: number, from: number): Promise<void> {
    const body = (index + round) % 3 === 0 ? 'b'.repeat(200) : '';
    const offset = ((index + Math.random()) / CONNECTIONS) * LAST_OFFSET_MS;
    await pause(Math.max(0, from + offset - performance.now()));
    const answer = client.answer().then(
      text => text.slice(2) === `/${round}/${index} ${body.length}` || failures.push(`answered ${text}`),
      error => failures.push(String(error)),
    );
    await write(
      client,
      requestOf(`/${round}/${index}`, body),
      (index + round) % 4 === 0 ? 1 : ((index + round) % 3) * 2,
    );
    await answer;
  }

  try {
    // A first request each, so that they are idle.
    await Promise.all(clients.map((client, index) => ask(client, index, -1, performance.now())));
    for (let round = 0; round < ROUNDS && failures.length === 0; round++) {
      const [giver, taker] = round % 2 === 0 ? children : ([children[1], children[0]] as const);
      const told = once(giver, 'message') as Promise<[{ given: number }]>;
      orderToGive(giver, 2 - (round % 2), taker);
      const from = performance.now();
      await Promise.all(clients.map((client, index) => ask(client, index, round, from)));
      handedOver += (await told)[0].given;
    }
    expect(failures).toEqual([]);
    expect(clients.filter(client => client.closed)).toEqual([]);
    // Nobody has kept a descriptor of what it gave: each connection is open once. The event
    // loop keeps the inotify(7) descriptor of its first watch, in each of the two.
    const all = () => children.map(fdsOf).reduce((sum, count) => sum + count, 0);
    await expect.poll(all).toBeLessThanOrEqual((before[0] ?? 0) + (before[1] ?? 0) + CONNECTIONS + 2);
    // It was a race, not a walk: a good part of them was on the move when its request came.
    expect(handedOver).toBeGreaterThan((CONNECTIONS * ROUNDS) / 4);
  } finally {
    for (const client of clients) client.destroy();
    await Promise.all(children.map(end));
    close(fd);
    rmSync(directory, { recursive: true });
  }
}, 120_000);
