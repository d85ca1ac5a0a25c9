import { afterEach, beforeAll, expect } from 'vitest';
import { chooseAuto, type ProbeReport, type ProbeRow, probe } from '../../src/inspect/probe.ts';
import { clearSituation, makeSituation, PROBE_STATES, settle } from '../../src/inspect/situation.ts';
import { destroySockets, dumpTcp } from '../../src/kernel/sock-diag.ts';
import { inNetworkNamespace } from '../fixtures/netns.ts';
import { needs } from '../tools.ts';

/*
 * In a network namespace of this file's own, where every socket is one of the probe's.
 */

const { test } = needs('root', 'netns', 'ip');

beforeAll(() => {
  inNetworkNamespace();
});
afterEach(() => {
  destroySockets(dumpTcp().filter(({ state }) => state !== 'CLOSE'));
});

let report: ProbeReport | undefined;
async function probed(): Promise<ProbeReport> {
  report ??= await probe();
  return report;
}

/** The four answers, as `no yes no yes`, in the order none, address, port, both. */
function answers({ outcomes }: ProbeRow): string {
  return Object.values(outcomes)
    .map(outcome => (outcome === 'ok' ? 'yes' : 'no'))
    .join(' ');
}

test('every pair of option sets is tried in every state, and it takes under three seconds', async () => {
  const startedAt = performance.now();
  const { rows, platform } = await probed();
  expect(performance.now() - startedAt).toBeLessThan(3000);
  expect(platform).toBe('linux');
  expect(rows).toHaveLength(7 * PROBE_STATES.length * 4);
  expect(rows.every(({ outcomes }) => Object.values(outcomes).every(outcome => /^(ok|E[A-Z]+)$/.test(outcome)))).toBe(
    true,
  );
});

test('nothing is left behind, TIME_WAIT neither', async () => {
  await probe();
  // What is closing yet is gone in a moment; TIME_WAIT would stay for a minute.
  const left = () => dumpTcp().map(({ state, localPort }) => `${state} ${localPort}`);
  await expect.poll(left, { timeout: 10_000 }).toEqual([]);
});

// socket(7): both must have set SO_REUSEADDR, and nobody passes a listener; SO_REUSEPORT: both, and a listener can be joined.
test.for([
  ['LISTEN', 'none', 'no no no no'],
  ['LISTEN', 'address', 'no no no no'],
  ['LISTEN', 'port', 'no no yes yes'],
  ['LISTEN', 'both', 'no no yes yes'],
  ['TIME_WAIT', 'none', 'no no no no'],
  ['TIME_WAIT', 'address', 'no yes no yes'],
  ['TIME_WAIT', 'port', 'no no yes yes'],
  ['TIME_WAIT', 'both', 'no yes yes yes'],
  ['ESTABLISHED', 'none', 'no no no no'],
  ['ESTABLISHED', 'address', 'no yes no yes'],
  ['FIN_WAIT2', 'address', 'no yes no yes'],
  ['CLOSE_WAIT', 'address', 'no yes no yes'],
  ['CLOSE', 'none', 'no no no no'],
  ['CLOSE', 'address', 'no yes no yes'],
])(
  'on Linux, %s of a server with %s set lets newcomers with none, address, port, both listen: %s',
  async ([state, old, expected]) => {
    const { rows } = await probed();
    const alike = rows.filter(row => row.state === state && row.old === old && row.newHost !== '::1');
    expect(alike.length).toBeGreaterThanOrEqual(5);
    expect(alike.map(row => [row.oldHost, row.newHost, answers(row)])).toEqual(
      alike.map(row => [row.oldHost, row.newHost, expected]),
    );
  },
);

test('addresses that never meet are never in the way', async () => {
  const { rows } = await probed();
  const apart = rows.filter(({ oldHost, newHost }) => oldHost === '127.0.0.1' && newHost === '::1');
  expect(apart).toHaveLength(24);
  expect(apart.filter(row => answers(row) !== 'yes yes yes yes')).toEqual([]);
});

test.for([
  ['TIME_WAIT', 'EADDRINUSE ok EADDRINUSE ok', 'address'],
  ['TIME_WAIT', 'EADDRINUSE EADDRINUSE ok ok', 'both'],
  ['TIME_WAIT', 'EADDRINUSE EADDRINUSE EADDRINUSE EADDRINUSE', undefined],
  ['LISTEN', 'EADDRINUSE EADDRINUSE ok ok', undefined],
  ['LISTEN', 'ok ok ok ok', 'address'],
] as const)('auto: %s and %s give %s', ([state, outcomes, expected]) => {
  const [none = '', address = '', port = '', both = ''] = outcomes.split(' ');
  expect(chooseAuto(state, { none, address, port, both })).toBe(expected);
});

test('each situation is what it says, and gone when it is cleared', async () => {
  for (const host of ['127.0.0.1', '0.0.0.0', '::', '::1']) {
    const situations = PROBE_STATES.map(state => makeSituation(state, host, 'address'));
    expect(await settle(situations)).toEqual([]);
    situations.forEach(clearSituation);
    expect(dumpTcp()).toEqual([]);
  }
});

test('a situation that does not come about is named, within a second or two', async () => {
  const situation = makeSituation('LISTEN', '127.0.0.1', 'none');
  expect(await settle([{ ...situation, state: 'TIME_WAIT' }])).toMatchObject([{ state: 'TIME_WAIT' }]);
  clearSituation(situation);
});
