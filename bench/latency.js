/*
 * What a restart does to latency: the 99th percentile of what fell due while a restart went on, against that of what fell
 * due while two processes of the same server ran, without one. The same load on the same server, in turns.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { goal, quantile, RELISTEN } from './goal.js';
import { freePort } from './hello.js';
import { installLibraries } from './libraries.js';

const ROUNDS = Number(process.argv[2] ?? 5);
const RESTARTS = '6';
/** How long a restart of this server takes, with its drain: what falls due in that time counts in both. */
const AS_LONG = '1s';
const SERVER = fileURLToPath(new URL('./restart/servers/express.js', import.meta.url));

installLibraries();
const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'bench-'));
const port = await freePort();
const env = { ...process.env, XDG_RUNTIME_DIR: folder, PORT: String(port) };
const supervised = start([RELISTEN, 'run', '--quiet', '--name', 'bench', '--', process.execPath, SERVER], env);
// It gets no clients: what it costs is that it is there.
const beside = start([SERVER], { ...env, PORT: String(await freePort()) });
await answered(`http://127.0.0.1:${port}/`);

/** @type {Map<string, number>[]} */
const resting = [];
/** @type {Map<string, number>[]} */
const restarting = [];
let lost = 0;
for (let round = 0; round < ROUNDS; round++) {
  resting.push(await p99('true'));
  // Not by `relisten restart`, which boots a Node of its own on the processors that the clients need.
  restarting.push(await p99(`kill -HUP ${supervised.pid}`));
}
for (const child of [supervised, beside]) child.kill();
rmSync(folder, { recursive: true, force: true });

for (const name of resting[0]?.keys() ?? []) {
  const [still, during] = [resting, restarting].map(rounds => rounds.map(seen => seen.get(name) ?? Number.NaN));
  const ratios = (during ?? []).map((value, round) => value / (still?.[round] ?? Number.NaN));
  goal(`${name}: p99 while two processes run, median of the rounds`, quantile(still ?? []), 'ms');
  goal(`${name}: p99 during a restart, median of the rounds`, quantile(during ?? []), 'ms');
  goal(`${name}: the one ÷ the other, median of the rounds`, quantile(ratios), '×', { atMost: 2 });
}
goal('requests lost', lost, '', { atMost: 0 });

/** @param {string[]} args @param {NodeJS.ProcessEnv} env */
function start(args, env) {
  return spawn(process.execPath, args, { env, stdio: 'ignore' });
}

/** @param {string} url */
async function answered(url) {
  while (!(await fetch(url).catch(() => undefined))) await delay(20);
}

/**
 * Of what fell due in the second from each restart's beginning, by class of clients.
 * @param {string} restart a shell command
 */
async function p99(restart) {
  const args = ['prove', '--json', '--allow', '1000000', '--restarts', RESTARTS, '--least', AS_LONG];
  const load = ['--url', `http://127.0.0.1:${port}/`, '--slow-path', '/slow', '--restart', restart];
  const { stdout } = await run(process.execPath, [RELISTEN, ...args, ...load], { env, maxBuffer: 1 << 28 });
  /** @type {{ load: { failed: number, generations: unknown[], classes: { name: string, phases: { restart: { latency: { p99: number } } } }[] } }} */
  const { load: seen } = JSON.parse(stdout);
  lost += seen.failed;
  const versions = restart === 'true' ? 1 : 1 + Number(RESTARTS);
  if (seen.generations.length !== versions) throw new Error(`${seen.generations.length} versions answered`);
  return new Map(seen.classes.map(({ name, phases }) => [name, phases.restart.latency.p99]));
}
