import { describe, expect, test } from 'vitest';
import { answerTo, type Collision, isAbandoned } from '../../src/supervise/collision.ts';
import type { GenerationState } from '../../src/supervise/generation.ts';

const NOBODYS: Collision = { pinned: false, given: false, openHere: false, openElsewhere: false, served: false };

describe('a held listener in the way', () => {
  test.each<[what: string, facts: Partial<Collision>, expected: boolean]>([
    ['that nobody has open, nor served before, is abandoned', {}, true],
    ['is so, too, where the generation has closed it itself', { given: true }, true],
    ['that the generation has open is not', { openHere: true }, false],
    ['that another one has open is not', { openElsewhere: true }, false],
    ['whose clients may wait for the next generation is not', { served: true }, false],
    ['that the user named is not', { pinned: true }, false],
  ])('%s', (_, facts, expected) => {
    expect(isAbandoned({ ...NOBODYS, ...facts })).toBe(expected);
  });
});

describe('a bind that collides', () => {
  const olders = { openElsewhere: true, served: true };
  test.each<[what: string, state: GenerationState, collisions: Partial<Collision>[], answer: string]>([
    ['with nothing any more', 'starting', [], 'free'],
    ["with an older generation's listener", 'starting', [olders], 'beside'],
    ['with that of one that has ended', 'starting', [{ served: true }], 'beside'],
    ['with what it has itself been given, and has closed', 'ready', [{ ...olders, given: true }], 'beside'],
    ['with what it has open', 'starting', [{ ...olders, openHere: true }], 'refuse'],
    ['with what it has open beside another', 'ready', [olders, { openHere: true }], 'refuse'],
    [
      'with a port that was named, which is passed to it',
      'starting',
      [{ ...olders, pinned: true, openHere: true }],
      'stop-first',
    ],
    ['with one that it has bound', 'starting', [{ ...olders, pinned: true, given: true }], 'refuse'],
    ['with one when it is ready', 'ready', [{ ...olders, pinned: true }], 'refuse'],
    ['with one and another', 'starting', [olders, { ...olders, pinned: true }], 'stop-first'],
    ['when its generation is to end', 'draining', [olders], 'refuse'],
  ])('%s', (_, state, collisions, answer) => {
    expect(
      answerTo(
        state,
        collisions.map(facts => ({ ...NOBODYS, ...facts })),
      ),
    ).toBe(answer);
  });
});
