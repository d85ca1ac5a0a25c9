import { expect, test } from 'vitest';
import { ephemeralPorts, firstUnprivilegedPort, sysctl } from '../../src/kernel/sysctl.ts';

test('a parameter is read by its dotted name, and one that is not there is undefined', () => {
  expect(sysctl('kernel.ostype')).toBe('Linux');
  expect(sysctl('net.ipv4.no_such_thing')).toBeUndefined();
});

test('the ports of clients are a range of ports', () => {
  const [first, last] = ephemeralPorts();
  expect(first).toBeGreaterThan(0);
  expect(last).toBeGreaterThan(first);
  expect(last).toBeLessThan(65536);
  expect(firstUnprivilegedPort()).toBeLessThanOrEqual(65536);
});
