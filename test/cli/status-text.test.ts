import { describe, expect, it } from 'vitest';
import { failureLines, listTable, outcomeLine, statusLines } from '../../src/cli/status-text.ts';
import type { Status } from '../../src/control/status.ts';

const STATUS: Status = {
  name: 'shop',
  pid: 100,
  version: '1.0.0',
  startedAt: 0,
  uptimeMs: 3_600_000,
  command: ['node', 'server.js', '--title', 'a b'],
  cwd: '/srv/shop',
  way: { intercept: true, hook: false, passed: false, text: 'bind(2) and listen(2) are intercepted' },
  strategy: 'overlap',
  drainMs: 30_000,
  slowStartMs: 0,
  stopping: false,
  generations: [
    { generation: 1, state: 'draining', pid: 101, startedAt: 0, ageMs: 3_600_000, since: 3_588_000, connections: 1 },
    { generation: 2, state: 'ready', pid: 202, startedAt: 3_587_000, ageMs: 13_000, since: 3_588_000, connections: 18 },
  ],
  listeners: [
    { address: '127.0.0.1:3000', pinned: false, generations: [1, 2], queue: { waiting: 0, limit: 511 } },
    { address: '/run/shop.sock', pinned: true, generations: [2] },
  ],
  restarts: 1,
  crashes: 0,
};

describe('statusLines', () => {
  it('shows one supervisor', () => {
    expect(statusLines(STATUS)).toEqual([
      'shop: ready (generation 2), 1 draining',
      "  command   node server.js --title 'a b'",
      '  in        /srv/shop',
      '  how       bind(2) and listen(2) are intercepted',
      '  restarts  1, crashes 0',
      '  relisten  pid 100, up 1 h',
      '  generations',
      '    1  draining  pid 101  1 h   1 connection    killed in 18 s at the latest',
      '    2  ready     pid 202  13 s  18 connections',
      '  listeners',
      '    127.0.0.1:3000  0 of 511 waiting',
      '    /run/shop.sock                    named with -p',
    ]);
  });
});

describe('a slow start', () => {
  const [old, ready] = STATUS.generations;
  const yielding = { ...(old ?? fail()), state: 'yielding' as const, ageMs: 3_590_000 };
  const slow = { ...STATUS, slowStartMs: 5_000 };

  it('says how long the old one serves on', () => {
    const both = { ...slow, generations: [yielding, { ...(ready ?? fail()), ageMs: 3_000 }] };
    const lines = statusLines(both);
    expect(lines[0]).toBe('shop: ready (generation 2), yielding (generation 1)');
    expect(lines).toContain('    1  yielding  pid 101  59 min 50 s  1 connection    serves for another 3.0 s');
  });

  it('says that it does so as long as there is no other', () => {
    const lines = statusLines({ ...slow, generations: [yielding] });
    expect(lines[0]).toBe('shop: yielding (generation 1)');
    expect(lines).toContain('    1  yielding  pid 101  59 min 50 s  1 connection  serves until another is ready');
  });
});

function fail(): never {
  throw new Error('no such generation');
}

describe('listTable', () => {
  it('shows a line a supervisor, and nothing for none', () => {
    expect(listTable([])).toEqual([]);
    expect(listTable([STATUS, { ...STATUS, name: 'idle', generations: [], listeners: [] }])).toEqual([
      'NAME  STATE                             PID  AGE   CLIENTS  LISTENERS                      COMMAND',
      "shop  ready (generation 2), 1 draining  202  13 s  19       127.0.0.1:3000 /run/shop.sock  node server.js --title 'a b'",
      "idle  nothing runs                      -    -     0        -                              node server.js --title 'a b'",
    ]);
  });

  it('cuts commands to the width of a terminal, and nothing else', () => {
    expect(listTable([STATUS], 100)[1]).toMatch(/ {2}node ser…$/);
    expect(listTable([STATUS], 100)[1]).toHaveLength(100);
    expect(listTable([STATUS], 20)[1]).toMatch(/ 127\.0\.0\.1:3000 \/run\/shop\.sock {2}node s…$/);
    expect(listTable([STATUS], 200)[1]).toMatch(/node server\.js --title 'a b'$/);
  });

  it('says which is ending', () => {
    const { generations } = STATUS;
    const [, line] = listTable([{ ...STATUS, generations: generations.slice(0, 1), stopping: true }]);
    expect(line).toMatch(/^shop {2}stopping, 1 draining /);
  });
});

describe('the outcome of a restart', () => {
  it('is a line when it is ready', () => {
    expect(outcomeLine('shop', { ok: true, generation: 3, pid: 303, durationMs: 85 })).toBe(
      'shop: generation 3 ready (pid 303, 85 ms)',
    );
  });

  it('says why it failed, who serves, and the last lines of stderr', () => {
    const outcome = {
      ok: false as const,
      generation: 3,
      reason: 'Not ready within 30 s: it never listened',
      exit: { code: null, signal: 'SIGTERM' as const },
      exitCode: 1,
      stderr: ['oops', '  at line 3'],
      durationMs: 30_000,
    };
    expect(failureLines('shop', outcome, STATUS)).toEqual([
      'shop was not restarted: generation 3 failed after 30 s: Not ready within 30 s: it never listened (was ended by SIGTERM)',
      '  Generation 2 (pid 202) goes on as before.',
      '  The last lines of its stderr:',
      '  | oops',
      '  |   at line 3',
    ]);
  });

  it.each([
    ['goes on', {}, 'Generation 2 (pid 202) goes on as before.'],
    ['holds listeners', { generations: [] }, 'No other generation was ready: clients wait until one is.'],
    ['holds none', { generations: [], listeners: [] }, 'No other generation was ready: nobody listens until one is.'],
    ['is ending', { generations: [], stopping: true }, 'No other generation was ready, and relisten is ending.'],
    ['is gone', undefined, 'No other generation was ready, and relisten does not answer any more.'],
  ])('says what becomes of clients where it %s', (_, change, says) => {
    const outcome = { ok: false as const, generation: 3, reason: 'late', exitCode: 1, stderr: [], durationMs: 1 };
    expect(failureLines('shop', outcome, change && { ...STATUS, ...change })[1]).toBe(`  ${says}`);
  });
});
