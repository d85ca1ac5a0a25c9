import { expect, it } from 'vitest';
import { signalAll } from '../../../src/cli/free/stop.ts';
import type { ProcessFacts } from '../../../src/inspection.ts';
import { processFacts } from '../../../src/kernel/procfs.ts';
import { holdPort } from '../../fixtures/hold-port.ts';

it('signals the process that was seen, and none that was given its pid since', async () => {
  const { child, exited } = await holdPort();
  const seen = processFacts(child.pid ?? 0) as ProcessFacts;
  const earlier = { ...seen, startedAt: seen.startedAt - 5_000 };
  expect(signalAll([earlier], 'SIGTERM')).toEqual([]);
  expect(child.exitCode ?? child.signalCode).toBeNull();
  expect(signalAll([seen], 'SIGTERM')).toEqual([seen]);
  expect(await exited).toEqual([null, 'SIGTERM']);
  expect(signalAll([seen], 'SIGTERM')).toEqual([]);
});
