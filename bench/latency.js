/*
 * What a restart does to latency: the 99th percentile of what fell due while a restart went on, against that of what fell
 * due while two processes of the same server ran, without one. The same load on the same server, in turns; and where each
 * new process warms itself up before it listens (--warm-http), and where the old one goes on serving beside it for a while
 * (--slow-start).
 *
 * And what a process costs that is merely young: the same load for its first second, with nothing else going on (it has
 * booted and is idle, there is no supervisor, no process before it, no restart), against a second of a warm one.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DIST, goal, quantile, RELISTEN } from './goal.js';
import { freePort } from './hello.js';
import { installLibraries } from './libraries.js';

const ROUNDS = Number(process.argv[2] ?? 5);
const RESTARTS = 6;
/** How long a restart of this server takes, with its drain: what falls due in that time counts in both. */
const AS_LONG = '1s';
const SLOW_START = '6s';
/** With the drain behind it. */
const AS_LONG_SLOWLY = '7s';
const SERVER = fileURLToPath(new URL('./restart/servers/express.js', import.meta.url));
/** Until a process has finished what it does after its start. */
const REST_MS = 700;
/** Until the warm one is, at first; and the load itself, each time. */
const WARM_UP_MS = 6_000;
const AGAIN_MS = 1_500;
const FIRST_MS = 1_000;

installLibraries();
const { startLoad } = await import(`${DIST}/prove/load.js`);
const { namedLoad } = await import(`${DIST}/prove/loads.js`);
const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'bench-'));
const env = { ...process.env, XDG_RUNTIME_DIR: folder };
const usual = await supervise('usual');
const warming = await supervise('warming', '--warm-http', '/', '--warm-http', 'POST /');
// It gets no clients: what it costs is that it is there.
const besidePort = await freePort();
const beside = start([SERVER], { ...env, PORT: String(besidePort) });
const slow = await supervise('slow', '--slow-start', SLOW_START);
await Promise.all([usual.port, warming.port, slow.port, besidePort].map(listening));

/** @typedef {Map<string, number>} Latencies the p99 of each class of clients, in milliseconds */
/** @type {Latencies[]} */
const resting = [];
/** @type {Latencies[]} */
const restarting = [];
/** @type {Latencies[]} */
const restartingWarm = [];
/** @type {Latencies[]} */
const restartingSlowly = [];
/** @type {Latencies[]} */
const warm = [];
/** @type {Latencies[]} */
const young = [];
let lost = 0;
for (let round = 0; round < ROUNDS; round++) {
  resting.push(await p99(usual, 'true', AS_LONG, 1));
  // Not by `relisten restart`, which boots a Node of its own on the processors that the clients need.
  restarting.push(await p99(usual, `kill -HUP ${usual.child.pid}`, AS_LONG));
  restartingWarm.push(await p99(warming, `kill -HUP ${warming.child.pid}`, AS_LONG));
  restartingSlowly.push(await p99(slow, `kill -HUP ${slow.child.pid}`, AS_LONG_SLOWLY));
}
for (const { child } of [usual, warming, slow]) child.kill();
await load(besidePort, WARM_UP_MS);
for (let sample = 0; sample < ROUNDS * RESTARTS; sample++) {
  const fresh = await freePort();
  const child = start([SERVER], { ...env, PORT: String(fresh) });
  await listening(fresh);
  await delay(REST_MS);
  await load(besidePort, AGAIN_MS);
  warm.push(await load(besidePort, FIRST_MS));
  young.push(await load(fresh, FIRST_MS));
  child.kill();
}
beside.kill();
rmSync(folder, { recursive: true, force: true });

for (const name of resting[0]?.keys() ?? []) {
  const of = (/** @type {Latencies[]} */ seen) => seen.map(latencies => latencies.get(name) ?? Number.NaN);
  const ratio = (/** @type {Latencies[]} */ over, /** @type {Latencies[]} */ to) =>
    quantile(of(over).map((value, at) => value / (of(to)[at] ?? Number.NaN)));
  goal(`${name}: p99 while two processes run, median of the rounds`, quantile(of(resting)), 'ms');
  goal(`${name}: p99 during a restart`, quantile(of(restarting)), 'ms');
  goal(`${name}: restart ÷ two processes`, ratio(restarting, resting), '×', { atMost: 2 });
  goal(`${name}: p99 during a restart with --warm-http`, quantile(of(restartingWarm)), 'ms');
  goal(`${name}: restart with --warm-http ÷ two processes`, ratio(restartingWarm, resting), '×', { atMost: 2 });
  goal(`${name}: p99 during a restart with --slow-start`, quantile(of(restartingSlowly)), 'ms');
  goal(`${name}: restart with --slow-start ÷ two processes`, ratio(restartingSlowly, resting), '×', { atMost: 2 });
  goal(`${name}: p99 of a second of a warm process alone`, quantile(of(warm)), 'ms');
  goal(`${name}: p99 of the first second of a process alone`, quantile(of(young)), 'ms');
  goal(`${name}: first second ÷ warm, without any restart`, ratio(young, warm), '×');
}
goal('requests lost', lost, '', { atMost: 0 });

/** @param {string} name @param {string[]} options of `relisten run` */
async function supervise(name, ...options) {
  const port = await freePort();
  const args = [RELISTEN, 'run', '--quiet', '--name', name, ...options, '--', process.execPath, SERVER];
  return { port, child: start(args, { ...env, PORT: String(port) }) };
}

/** @param {string[]} args @param {NodeJS.ProcessEnv} env */
function start(args, env) {
  return spawn(process.execPath, args, { env, stdio: 'ignore' });
}

/** Not by a request: that would be its first. @param {number} at */
async function listening(at) {
  for (;;) {
    const socket = connect(at, '127.0.0.1');
    try {
      await once(socket, 'connect');
      socket.destroy();
      return;
    } catch {
      await delay(10);
    }
  }
}

/** From this process, which does nothing else then. @param {number} at a port @param {number} forMs @returns {Promise<Latencies>} */
async function load(at, forMs) {
  const running = startLoad({ target: `http://127.0.0.1:${at}/`, classes: namedLoad('base') });
  await delay(forMs);
  const { classes } = await running.stop();
  return new Map(classes.map((/** @type {any} */ { name, latency }) => [name, latency.p99]));
}

/**
 * Of what fell due from each restart's beginning on, by class of clients.
 * @param {{ port: number }} server
 * @param {string} restart a shell command
 * @param {string} asLong what counts as the restart
 * @param {number} versions how many must have answered
 */
async function p99({ port }, restart, asLong, versions = 1 + RESTARTS) {
  const args = ['prove', '--json', '--allow', '1000000', '--restarts', String(RESTARTS), '--least', asLong];
  const load = ['--url', `http://127.0.0.1:${port}/`, '--slow-path', '/slow', '--restart', restart];
  const { stdout } = await run(process.execPath, [RELISTEN, ...args, ...load], { env, maxBuffer: 1 << 28 });
  /** @type {{ load: { failed: number, generations: unknown[], classes: { name: string, phases: { restart: { latency: { p99: number } } } }[] } }} */
  const { load: seen } = JSON.parse(stdout);
  lost += seen.failed;
  if (seen.generations.length !== versions) throw new Error(`${seen.generations.length} versions answered`);
  return new Map(seen.classes.map(({ name, phases }) => [name, phases.restart.latency.p99]));
}
