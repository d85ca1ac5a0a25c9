#!/usr/bin/env node
/*
 * What a restart costs, by what restarts: relisten beside what people use today, under the same load, one after the
 * other. Every row runs in pid, mount and network namespaces of its own, so that ports, TIME_WAIT sockets and processes
 * of one are nothing to the next, and everything ends with the row. Needs Linux and root.
 *
 *   npm run bench:restart -- [--only id,…] [--load base|keep-alive-heavy] [--restarts N] [--own N] [--kills N]
 *     [--out results.json]
 * --own is the number of restarts of relisten's own row, if it is to be another.
 *
 *   npm run bench:restart -- --show results.json,… [--plot picture.svg]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from '../scripts/build.js';
import { setup } from '../scripts/setup.js';
import { installLibraries } from './libraries.js';
import { checkGoals } from './restart/goals.js';
import { plot } from './restart/plot.js';
import { ROWS } from './restart/rows.js';
import { summarise } from './restart/summary.js';
import { tables } from './restart/table.js';
import { versions } from './restart/versions.js';

const FOLDER = fileURLToPath(new URL('./restart/', import.meta.url));
const { values: given } = parseArgs({
  options: {
    only: { type: 'string' },
    load: { type: 'string', default: 'base,keep-alive-heavy' },
    restarts: { type: 'string', default: '20' },
    own: { type: 'string' },
    kills: { type: 'string', default: '3' },
    out: { type: 'string' },
    show: { type: 'string' },
    plot: { type: 'string' },
    'no-build': { type: 'boolean', default: false },
  },
});

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
/** @typedef {{ command: string, startedAt: string, machine: Record<string, string>, versions: Record<string, string>, summaries: import('./restart/summary.js').Summary[] }} Report */

/** @type {Report[]} */
const reports = given.show?.split(',').map(path => JSON.parse(readFileSync(path, 'utf8'))) ?? [await compare()];
if (given.out) writeFileSync(given.out, `${JSON.stringify(reports[0], undefined, 1)}\n`);
const place = (/** @type {{ row: string }} */ { row }) => ROWS.findIndex(({ id }) => id === row);
const summaries = reports.flatMap(report => report.summaries).toSorted((one, other) => place(one) - place(other));
if (given.plot) writeFileSync(given.plot, plot(summaries));
console.log(tables(summaries));
checkGoals(summaries);

async function compare() {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) throw new Error('This needs Linux and root');
  setup('bench');
  installLibraries();
  if (!given['no-build'] && !build()) throw new Error('The build failed: see above');
  const startedAt = new Date().toISOString();
  const summaries = [];
  const asked = orders();
  for (const { row } of asked) row.prepare?.();
  for (const order of asked) {
    const summary = await runRow(order);
    if (!summary) continue;
    summaries.push(summary);
    // A long run that is broken off has not been for nothing.
    if (given.out) writeFileSync(`${given.out}.part`, JSON.stringify(summaries));
  }
  if (given.out) rmSync(`${given.out}.part`, { force: true });
  const machine = {
    ...{ cpus: `${cpus().length} × ${cpus()[0]?.model}`, kernel: release() },
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
  };
  const command = `npm run bench:restart -- ${process.argv.slice(2).join(' ')}`;
  return { command, startedAt, machine, versions: versions(), summaries };
}

/** Everything that was asked for, row by row. */
function orders() {
  const wanted = given.only?.split(',');
  const unknown = wanted?.filter(id => !ROWS.some(row => row.id === id)) ?? [];
  if (unknown.length > 0) throw new Error(`No such row: ${unknown}; there are ${ROWS.map(({ id }) => id).join(', ')}`);
  const rows = wanted ? ROWS.filter(({ id }) => wanted.includes(id)) : ROWS;
  const loads = given.load.split(',').map(load => (load === 'heavy' ? 'keep-alive-heavy' : load));
  const [restarts, own, kills] = [given.restarts, given.own ?? given.restarts, given.kills].map(Number);
  return rows
    .flatMap(row => [
      ...loads.map(load => ({ row, load, times: row.id === 'relisten' ? own : restarts, crash: false })),
      { row, load: loads[0] ?? 'base', times: kills, crash: true },
    ])
    .filter(({ times = 0 }) => times > 0);
}

/** @typedef {ReturnType<typeof orders>[number]} Order */

/** Restarts in one run; each kill in a fresh one, so that nobody's back-off counts. @param {Order} order */
async function runRow(order) {
  const { row, load, times = 0, crash } = order;
  process.stderr.write(`${row.id}, ${load}, ${times} ${crash ? 'kills' : 'restarts'}: `);
  try {
    const runs = [];
    for (let run = 0; run < (crash ? times : 1); run++) runs.push(await measure(order, crash ? 1 : times));
    const summary = summarise(order, runs);
    const { lost, requests, failures, trouble, lateP99Ms } = summary;
    const words = `lost ${lost} of ${requests} ${JSON.stringify(failures)}, late ${lateP99Ms} ms (p99) ${trouble[0] ?? ''}`;
    process.stderr.write(`${words}\n`);
    return summary;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
    return undefined;
  }
}

/** @param {Order} order @param {number} restarts @returns {Promise<import('./restart/summary.js').Measured>} */
async function measure({ row, load, crash }, restarts) {
  const folder = mkdtempSync(join(tmpdir(), 'relisten-bench-'));
  const words = JSON.stringify({ row: row.id, load, restarts, crash, folder });
  const namespaces = ['--net', '--pid', '--mount', '--fork', '--mount-proc', '--kill-child'];
  const inside = [join(FOLDER, 'namespace.sh'), ...(row.systemd ? ['--systemd'] : [])];
  const args = [...namespaces, ...inside, process.execPath, join(FOLDER, 'measure.js'), words];
  const child = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const bound = setTimeout(() => child.kill('SIGKILL'), 60_000 + restarts * 20_000);
  const stop = () => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', stop);
  try {
    const [answer, talk] = await Promise.all([textOf(child.stdout), textOf(child.stderr), once(child, 'exit')]);
    if (answer === '') throw new Error(`Row ${row.id} failed:\n${talk}`);
    return JSON.parse(answer);
  } finally {
    clearTimeout(bound);
    process.off('exit', stop);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {NodeJS.ReadableStream} stream */
async function textOf(stream) {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
}
