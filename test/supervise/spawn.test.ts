import type * as childProcess from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { expect, vi } from 'vitest';
import { Poller } from '../../src/kernel/poll.ts';
import { processIds } from '../../src/kernel/process.ts';
import { Reaper } from '../../src/supervise/reaper.ts';
import { Spawner } from '../../src/supervise/spawn.ts';
import { needs } from '../tools.ts';

const spawned = vi.hoisted(() => vi.fn<(child: childProcess.ChildProcess) => void>());
vi.mock('node:child_process', async original => {
  const real = await original<typeof childProcess>();
  const spawn = (...args: Parameters<typeof real.spawn>) => {
    const child = real.spawn(...args);
    spawned(child);
    return child;
  };
  return { ...real, spawn };
});

const { test } = needs('linux');

test('a spare that somebody ends before it is one makes way for another, under a filter as well', async () => {
  spawned.mockImplementationOnce(child => {
    child.kill('SIGKILL');
    while (processIds(child.pid ?? 0)?.zombie === false);
  });
  const stdin = openSync('/dev/null', 'r');
  const poller = new Poller();
  const tapped = { stdin, stdout: false, stderr: false };
  const options = { reaper: new Reaper(), tapped, intercept: true, listensAt: () => undefined, standby: false };
  const spawner = new Spawner({ ...options, poller, onStandby: () => {} });
  const role = { command: ['true'], cwd: '/', env: process.env };
  const { whyNot, notifyFd, exit, lifeline } = await spawner.spawn(role, []);
  expect({ whyNot, isFiltered: notifyFd !== undefined }).toEqual({ whyNot: undefined, isFiltered: true });
  expect(await exit).toEqual({ code: 0, signal: null });
  lifeline.release();
  if (notifyFd !== undefined) closeSync(notifyFd);
  await spawner.close();
  poller.close();
  closeSync(stdin);
});
