import { expect, test } from 'vitest';
import { relisten } from '../../fixtures/relisten.ts';

test('the table of this system, each pair of hosts in it once', async () => {
  const { code, stdout, stderr } = await relisten(['probe']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(new RegExp(`^Who can listen where an old server left something: ${process.platform} `));
  for (const title of ['127.0.0.1, then 127.0.0.1', '0.0.0.0, then ::', '::, then 0.0.0.0', '127.0.0.1, then ::1']) {
    expect(stdout.split('\n').filter(line => line === title)).toHaveLength(1);
  }
  expect(stdout).toMatch(/\nTIME_WAIT +no option +EADDRINUSE +EADDRINUSE +EADDRINUSE +EADDRINUSE +waits or evicts\n/);
  expect(stdout).toMatch(/\n +SO_REUSEADDR +EADDRINUSE +ok +EADDRINUSE +ok +SO_REUSEADDR\n/);
});

test('--json has every outcome', async () => {
  const { code, stdout } = await relisten(['probe', '--json']);
  expect(code).toBe(0);
  const { rows } = JSON.parse(stdout);
  expect(rows).toHaveLength(168);
  expect(rows[0]).toEqual({
    state: 'LISTEN',
    oldHost: '127.0.0.1',
    newHost: '127.0.0.1',
    old: 'none',
    outcomes: { none: 'EADDRINUSE', address: 'EADDRINUSE', port: 'EADDRINUSE', both: 'EADDRINUSE' },
  });
});

test('--markdown has a row for each, of as many cells as its head', async () => {
  const { stdout } = await relisten(['probe', '--markdown']);
  const rows = stdout.split('\n').filter(line => line.startsWith('|'));
  expect(new Set(rows.map(row => row.split('|').length))).toEqual(new Set([9]));
  expect(rows).toContain('| TIME_WAIT | SO_REUSEADDR | EADDRINUSE | ok | EADDRINUSE | ok | SO_REUSEADDR |');
});
