import { describe, expect, it } from 'vitest';
import { planFree } from '../../../src/cli/free/occupants.ts';
import type { Inspection, ProcessFacts, Reason, SocketFacts } from '../../../src/inspection.ts';

const SELF = 900;
const SHELL = 800;

function owner(pid: number, ppid = 1): ProcessFacts {
  return { pid, ppid, command: `command-${pid}`, argv: [], uid: 0, user: 'root', startedAt: 0, orphaned: false };
}

function socket(owners: ProcessFacts[], inode = 5): SocketFacts {
  return { local: { family: 'IPv4', host: '0.0.0.0', port: 80 }, state: 'LISTEN', inode, uid: 0, owners };
}

function report(reason: Reason, listeners: SocketFacts[] = [], blockers: SocketFacts[] = []): Inspection {
  const rest = { advice: [], counts: {}, trials: [], unseen: [] };
  return { address: '80', reason, summary: `it is ${reason}`, listeners, blockers, ...rest };
}

const plan = (seen: Inspection, force = false) => {
  const found = planFree(seen, { pid: SELF, ancestors: [SHELL, 700] }, force);
  if (found.do === 'refuse') return `refuse: ${found.why}`;
  if (found.do !== 'stop') return found.do;
  return `ask ${found.ask.map(({ pid }) => pid)} of ${found.all.map(({ pid }) => pid)}`;
};

describe('planFree', () => {
  it.each<[string, Inspection, string]>([
    ['nothing is there', report('free'), 'nothing'],
    ['a process listens', report('live-listener', [socket([owner(10)])]), 'ask 10 of 10'],
    [
      'workers share it',
      report('live-listener', [socket([owner(11, 10), owner(10), owner(12, 10)])]),
      'ask 10 of 11,10,12',
    ],
    [
      'two servers share it',
      report('live-listener', [socket([owner(10)]), socket([owner(20)], 6)]),
      'ask 10,20 of 10,20',
    ],
    ['a child still has its connections', report('leftover-connections', [], [socket([owner(10)])]), 'ask 10 of 10'],
    ['only leftovers are there', report('time-wait', [], [socket([], 0)]), 'clean'],
    ['a stale file is there', report('stale-unix-socket'), 'clean'],
    ['a plain file is there', report('not-a-socket'), 'refuse: it is not-a-socket'],
    ['the right is missing', report('no-right'), 'refuse: it is no-right'],
    ['the address is of another host', report('no-such-address'), 'refuse: it is no-such-address'],
    [
      'a client was given the port',
      report('ephemeral-client', [], [socket([owner(10)])]),
      'refuse: it is ephemeral-client',
    ],
    [
      'process 1 has it',
      report('live-listener', [socket([owner(10), owner(1, 0)])]),
      'refuse: process 1 has it: it runs this system',
    ],
    ['we have it', report('live-listener', [socket([owner(SELF)])]), 'refuse: this process itself has it'],
    [
      'what we run under has it',
      report('live-listener', [socket([owner(SHELL)])]),
      'refuse: this command runs under command-800 (pid 800), which has it',
    ],
    [
      'nobody can name who has it',
      report('live-listener', [socket([])]),
      "refuse: the process that has it cannot be named: it is another user's, which root could name, or in another container",
    ],
    [
      'one of two cannot be named',
      report('live-listener', [socket([owner(10)]), socket([], 6)]),
      "refuse: the process that has it cannot be named: it is another user's, which root could name, or in another container",
    ],
  ])('%s', (_name, seen, expected) => {
    expect(plan(seen)).toBe(expected);
  });

  it('stops a client when forced, and still nobody that must not be stopped', () => {
    expect(plan(report('ephemeral-client', [], [socket([owner(10)])]), true)).toBe('ask 10 of 10');
    expect(plan(report('live-listener', [socket([owner(1, 0)])]), true)).toMatch(/^refuse: process 1/);
    expect(plan(report('live-listener', [socket([])]), true)).toMatch(/^refuse: .*cannot be named/);
  });
});
