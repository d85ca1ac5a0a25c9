import { expect } from 'vitest';
import { soak } from '../../scripts/soak.js';
import { needs } from '../tools.ts';

needs('linux', 'busybox').test('after 60 restarts relisten holds what it held after 20', async () => {
  const { samples, clients } = await soak({ restarts: 60, sampleEvery: 20 });
  const [first, , last] = samples;
  if (!first || !last) throw new Error('no samples');
  const { fds, threads, children } = first;
  expect(last).toMatchObject({ fds, threads, children });
  expect(last.rssKiB - first.rssKiB).toBeLessThan(16 * 1_024); // one collection of garbage
  expect(clients.refused).toBe(0);
  expect(clients.ok).toBeGreaterThan(100);
  // What the server had accepted when it was ended: it has no way to finish.
  expect(clients.dropped).toBeLessThanOrEqual(2 * 60);
});
