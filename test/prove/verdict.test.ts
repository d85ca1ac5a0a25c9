import { expect, test } from 'vitest';
import { firstAnswers, withFirstAnswers } from '../../src/prove/restarts.ts';
import { type Evidence, judge } from '../../src/prove/verdict.ts';

const good = { ok: true };
const evidence = (other: Partial<Evidence>): Evidence => ({
  load: { due: 1000, ok: 1000, failed: 0 },
  restarts: [good, good],
  wanted: 2,
  allow: 0,
  ...other,
});

test.each([
  [{}, true, 'None of 1,000 requests failed in 2 restarts'],
  [{ load: { due: 1000, ok: 997, failed: 3 } }, false, '3 of 1,000 requests failed'],
  [{ load: { due: 1000, ok: 997, failed: 3 }, allow: 2 }, false, '3 of 1,000 requests failed, 2 were allowed'],
  [
    { load: { due: 1000, ok: 997, failed: 3 }, allow: 3 },
    true,
    '3 of 1,000 requests failed in 2 restarts, 3 were allowed',
  ],
  [{ restarts: [good, { ok: false }] }, false, '1 of 2 restarts failed; 0 of 1,000 requests failed'],
  [{ restarts: [good], allow: 9 }, false, 'Stopped after 1 of 2 restarts; 0 of 1,000 requests failed'],
  [{ load: { due: 9, ok: 0, failed: 9 }, allow: 99 }, false, 'Not one request was answered, so nothing was measured'],
  [{ restarts: [good], wanted: 1 }, true, 'None of 1,000 requests failed in 1 restart'],
])('what was seen decides: %j', (other, ok, reason) => {
  expect(judge(evidence(other))).toMatchObject({ ok, exitCode: ok ? 0 : 1, reason });
});

test('a version belongs to the last restart that was asked for before its first answer', () => {
  const restarts = [
    { at: 1000, endedAt: 1100, ok: true },
    { at: 2000, endedAt: 2100, ok: false },
    { at: 3000, endedAt: 3100, ok: true },
  ];
  const generations = [
    { generation: 'a', answers: 9, firstAnswer: 5, lastAnswer: 1200 },
    { generation: 'b', answers: 9, firstAnswer: 1090, lastAnswer: 3100 },
    { generation: 'c', answers: 9, firstAnswer: 3050, lastAnswer: 4000 },
  ];
  const told = withFirstAnswers(restarts, generations);
  expect(told.map(({ generation, firstAnswerMs }) => [generation, firstAnswerMs])).toEqual([
    ['b', 90],
    [undefined, undefined],
    ['c', 50],
  ]);
  expect(firstAnswers(told)).toEqual({ median: 50, min: 50, max: 90 });
  expect(firstAnswers(restarts)).toBeUndefined();
});
