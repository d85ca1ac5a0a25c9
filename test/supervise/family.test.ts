import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import type { ProcessIds } from '../../src/kernel/process.ts';
import { familyOf, isWrapper, stopTargets, successorIn } from '../../src/supervise/family.ts';

function process(pid: number, ppid: number, sid: number, zombie = false): ProcessIds {
  return { pid, state: zombie ? 'Z' : 'S', ppid, pgid: sid, sid, zombie };
}

describe('the family of a main process', () => {
  const all = [
    process(1, 0, 1),
    process(10, 1, 1),
    process(100, 10, 100),
    process(101, 100, 100),
    process(102, 1, 100), // its parent died
    process(103, 101, 103), // made a session of its own
    process(104, 100, 100, true),
    process(200, 10, 200),
  ];

  test('is its session and all that descends from it, itself first, without zombies', () => {
    expect(familyOf(100, all).map(ids => ids.pid)).toEqual([100, 101, 102, 103]);
  });

  test('survives it', () => {
    const left = all.filter(ids => ids.pid !== 100);
    expect(familyOf(100, left).map(ids => ids.pid)).toEqual([101, 102, 103]);
  });
});

describe('the place of a main process that has ended is taken by', () => {
  const master = process(20, 1, 10);
  const worker = process(21, 20, 10);
  const daemon = process(30, 1, 30);
  test.each([
    ['the one that listens', [master, worker], [20, 21], 20],
    ['the parent of the one that listens', [master, worker], [21], 20],
    ['the youngest of several', [process(11, 1, 10), process(19, 1, 10)], [11, 19], 19],
    ['nobody, where none listens', [master, worker], [], undefined],
    ['nobody, where it has gone into the background', [daemon, process(31, 30, 30)], [30, 31], undefined],
  ] as const)('%s', (_, family, listening, successor) => {
    expect(successorIn(family, 10, new Set(listening), pid => pid)).toBe(successor);
  });
});

describe('the stop signal goes to', () => {
  const wrappers =
    (...pids: number[]) =>
    (pid: number) =>
      pids.includes(pid);
  test.each([
    ['a server that is the main process, not its workers', [process(1, 0, 1), process(2, 1, 1)], [], [1]],
    ['the server below a shell', [process(1, 0, 1), process(2, 1, 1)], [1], [2]],
    ['the server below npm and its shell', [process(1, 0, 1), process(2, 1, 1), process(3, 2, 1)], [1, 2], [3]],
    ['every server that a shell started', [process(1, 0, 1), process(2, 1, 1), process(3, 1, 1)], [1], [2, 3]],
    ['a shell that has no children', [process(1, 0, 1)], [1], [1]],
    [
      'what a main process left behind, each tree once',
      [process(2, 9, 1), process(3, 2, 1), process(4, 9, 1)],
      [],
      [2, 4],
    ],
  ])('%s', (_, family, shells, expected) => {
    expect(stopTargets(1, family, wrappers(...shells))).toEqual(expected);
  });
});

test.each([
  ['npm', true],
  ['npm exec tsx src/server.ts', true],
  ['npm start -- --dir ./public', true],
  ['-bash', true],
  ['/usr/bin/timeout', true],
  ['nginx: master process', false],
  ['/opt/npm exec/server', false],
])('a process called %j is a wrapper: %s', async (title, expected) => {
  const child = spawn('sleep', ['60'], { argv0: title });
  await once(child, 'spawn');
  expect(isWrapper(child.pid ?? 0)).toBe(expected);
  child.kill('SIGKILL');
  await once(child, 'exit');
});
