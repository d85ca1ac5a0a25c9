import { expect, test } from 'vitest';
import type { RestartOutcome } from '../../src/supervise/events.ts';
import { Requests } from '../../src/supervise/requests.ts';

const outcome = (generation: number): RestartOutcome => ({ ok: true, generation, pid: 1, durationMs: 1 });

test('requests during a start share the outcome of the one that follows it', async () => {
  const requests = new Requests();
  const first = requests.add(false);
  const second = requests.add(true);
  const third = requests.add(true);
  requests.answer(outcome(2));
  expect(await first).toEqual(outcome(2));
  expect(requests.areLeft).toBe(true);
  requests.answer(outcome(3));
  expect(await Promise.all([second, third])).toEqual([outcome(3), outcome(3)]);
  expect(requests.areLeft).toBe(false);
});
