import { describe, expect, it } from 'vitest';
import { type EventLine, EventLines } from '../../src/cli/event-lines.ts';
import type { EventFacts, SuperviseEvent } from '../../src/supervise/events.ts';

const at = (time: number, facts: EventFacts) => ({ at: time, ...facts }) as SuperviseEvent;
const read = (...turns: SuperviseEvent[][]) => {
  const lines = new EventLines();
  return turns.flatMap(events => lines.read(events));
};
const texts = (lines: EventLine[]) => lines.map(line => line.text);

describe('EventLines', () => {
  it('tells a restart in three lines', () => {
    const lines = read(
      [at(0, { type: 'state', generation: 1, state: 'starting' })],
      [at(90, { type: 'state', generation: 1, state: 'ready', pid: 40 })],
      [at(1000, { type: 'state', generation: 2, state: 'starting' })],
      [
        at(1210, { type: 'state', generation: 2, state: 'ready', pid: 41 }),
        at(1210, { type: 'state', generation: 1, state: 'draining', pid: 40 }),
      ],
      [at(4410, { type: 'state', generation: 1, state: 'exited', pid: 40, exit: { code: 0, signal: null } })],
    );
    expect(texts(lines).slice(2)).toEqual([
      'generation 2 starting',
      'generation 2 ready (pid 41, 210 ms); generation 1 draining',
      'generation 1 gone after 3.2 s',
    ]);
  });

  it.each<[name: string, events: EventFacts[], line: EventLine | undefined]>([
    [
      'a failed start',
      [
        { type: 'state', generation: 2, state: 'starting' },
        { type: 'state', generation: 2, state: 'failed', reason: 'exited with 1', exit: { code: 1, signal: null } },
      ],
      { weight: 'bad', text: 'generation 2 failed after 0 ms: exited with 1' },
    ],
    [
      'a failed start beside one that is ready',
      [
        { type: 'state', generation: 1, state: 'ready', pid: 9 },
        { type: 'state', generation: 2, state: 'starting' },
        { type: 'state', generation: 2, state: 'failed', reason: 'exited with 1', exit: { code: 1, signal: null } },
      ],
      { weight: 'bad', text: 'generation 2 failed after 0 ms: exited with 1; generation 1 goes on' },
    ],
    [
      'a start that was late, and ended well when it was told to',
      [
        { type: 'state', generation: 1, state: 'starting' },
        { type: 'state', generation: 1, state: 'failed', reason: 'Not ready', exit: { code: 0, signal: null } },
      ],
      { weight: 'bad', text: 'generation 1 failed after 0 ms: Not ready' },
    ],
    [
      'a crash',
      [
        { type: 'state', generation: 1, state: 'ready', pid: 9 },
        { type: 'state', generation: 1, state: 'exited', pid: 9, exit: { code: null, signal: 'SIGSEGV' } },
      ],
      { weight: 'bad', text: 'generation 1 was ended by SIGSEGV' },
    ],
    [
      'a crash beside the one before it',
      [
        { type: 'state', generation: 1, state: 'ready', pid: 8 },
        { type: 'state', generation: 2, state: 'ready', pid: 9 },
        { type: 'state', generation: 1, state: 'yielding', pid: 8 },
        { type: 'state', generation: 2, state: 'exited', pid: 9, exit: { code: null, signal: 'SIGSEGV' } },
      ],
      { weight: 'bad', text: 'generation 2 was ended by SIGSEGV; generation 1 goes on' },
    ],
    [
      'an end by itself',
      [
        { type: 'state', generation: 1, state: 'ready', pid: 9 },
        { type: 'state', generation: 1, state: 'exited', pid: 9, exit: { code: 0, signal: null } },
      ],
      { weight: 'aside', text: 'generation 1 exited with 0' },
    ],
    [
      'an end before readiness',
      [
        { type: 'state', generation: 1, state: 'starting' },
        { type: 'state', generation: 1, state: 'failed', exit: { code: 0, signal: null }, reason: 'exited too soon' },
      ],
      { weight: 'bad', text: 'generation 1 failed after 0 ms: exited too soon' },
    ],
    [
      'an adopted server',
      [{ type: 'state', generation: 4, state: 'ready', pid: 7, reason: 'of a relisten that was killed' }],
      { weight: 'good', text: 'generation 4 ready (pid 7, of a relisten that was killed)' },
    ],
    ['a spawn', [{ type: 'spawned', generation: 1, pid: 5 }], undefined],
    ['a held port', [{ type: 'held', address: '0.0.0.0:80' }], { weight: 'aside', text: 'holding 0.0.0.0:80' }],
    [
      'a listener that was let go of',
      [{ type: 'released', address: '0.0.0.0:80', isLast: true }],
      { weight: 'aside', text: 'let go of 0.0.0.0:80: nobody listens on it any more' },
    ],
    [
      'a member of a group that was let go of',
      [{ type: 'released', address: '0.0.0.0:80', isLast: false }],
      { weight: 'aside', text: 'let go of one of the listeners on 0.0.0.0:80: the new generation opens fewer' },
    ],
    [
      'a wait',
      [{ type: 'waiting', generation: 1, address: '0.0.0.0:80', reason: '0.0.0.0:80 is kept', until: 12_400 }],
      { weight: 'wait', text: 'waiting: 0.0.0.0:80 is kept' },
    ],
    [
      'a blocked bind',
      [
        {
          type: 'blocked',
          generation: 1,
          address: '0.0.0.0:80',
          reason: 'Cannot bind',
          advice: ['Stop it', 'Or wait'],
        },
      ],
      { weight: 'bad', text: 'Cannot bind\n  Stop it\n  Or wait' },
    ],
    ['a first crash', [{ type: 'backoff', delayMs: 0, failures: 1 }], { weight: 'wait', text: 'starting it again' }],
    [
      'a third crash',
      [{ type: 'backoff', delayMs: 740, failures: 3 }],
      { weight: 'wait', text: 'starting it again in 740 ms (3 failures in a row)' },
    ],
    [
      'a cut',
      [{ type: 'cut', generation: 1, processes: 2 }],
      { weight: 'wait', text: 'generation 1 killed (2 processes)' },
    ],
    ['a watch', [{ type: 'watching', globs: [], files: 1 }], { weight: 'aside', text: 'watching . (1 file)' }],
  ])('tells %s', (_name, events, line) => {
    expect(read(...events.map(event => [at(0, event)])).at(-1)).toEqual(line);
  });
});
