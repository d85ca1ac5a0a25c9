import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { close } from '../../src/kernel/fd.ts';
import { listen } from '../../src/kernel/socket.ts';
import { KeepAlive } from '../fixtures/keep-alive.ts';
import { end, orderToGive, startPassing } from '../fixtures/passing.ts';
import { boundSocket } from '../fixtures/tcp.ts';

const CONNECTIONS = 300;
/** A handoff of so many takes some 10 ms, on a busy machine more: the death is at another moment of it in each round. */
const DELAYS_MS = [0, 2, 5, 10, 200];

test.each(['giver', 'receiver'] as const)(
  'whenever the %s is killed, each connection is answered by the other, or closed: none hangs',
  async victim => {
    const directory = mkdtempSync(join(tmpdir(), 'death-'));
    const { fd, port } = boundSocket();
    listen(fd, 512);
    let survived = 0;
    const children: ChildProcess[] = [];
    try {
      for (const [round, delay] of DELAYS_MS.entries()) {
        const giver = await startPassing(round * 2 + 1, directory, fd);
        children.push(giver);
        const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => KeepAlive.open(port)));
        await Promise.all(clients.map(client => client.request('/1')));
        const receiver = await startPassing(round * 2 + 2, directory, fd);
        children.push(receiver);
        const [dying, living] = victim === 'giver' ? [giver, receiver] : [receiver, giver];
        orderToGive(giver, round * 2 + 2, receiver);
        await pause(delay);
        await end(dying);
        const name = victim === 'giver' ? round * 2 + 2 : round * 2 + 1;
        const answers = await Promise.all(clients.map(client => client.request('/2').catch(error => error as Error)));
        for (const answer of answers) {
          if (answer instanceof Error) expect(answer.message).toMatch(/closed|ended by the other|ECONNRESET|EPIPE/);
          else expect(answer).toBe(`${name} /2 0`);
        }
        survived += answers.filter(answer => typeof answer === 'string').length;
        for (const client of clients) client.destroy();
        await end(living);
      }
    } finally {
      await Promise.all(children.map(end));
      close(fd);
      rmSync(directory, { recursive: true });
    }
    // Whoever dies at once, or late, leaves the other with some.
    expect(survived).toBeGreaterThan(0);
  },
);
