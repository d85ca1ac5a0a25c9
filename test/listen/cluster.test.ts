import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

it('leaves the workers of node:cluster to their primary, so that they share one listener', async () => {
  const script = fileURLToPath(new URL('../fixtures/cluster.js', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script]);
  const [first, second] = JSON.parse(stdout) as { port: number }[];
  expect(first).toEqual({ port: expect.any(Number), warnings: [] });
  expect(second).toEqual(first);
});
