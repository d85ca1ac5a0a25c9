/*
 * What a restart does to latency: the 99th percentile of what fell due while a restart went on, against that of what fell
 * due while two processes of the same server ran, without one; and against that of what fell due when the load went over
 * to a second process which had booted long before, without a supervisor. Keep-alive clients have to connect again there.
 * The same load on the same server, in turns.
 */
import { execFile, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DIST, goal, quantile, RELISTEN } from './goal.js';
import { freePort } from './hello.js';
import { installLibraries } from './libraries.js';

const ROUNDS = Number(process.argv[2] ?? 5);
const RESTARTS = '6';
/** How long a restart of this server takes, with its drain: what falls due in that time counts in both. */
const AS_LONG = '1s';
const SERVER = fileURLToPath(new URL('./restart/servers/express.js', import.meta.url));
const TURN = fileURLToPath(new URL('./restart/servers/turn.js', import.meta.url));
/** The next one boots when the second that counts is over, and before the next turn. */
const BOOTS_AFTER_MS = 2_000;

installLibraries();
const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'bench-'));
const port = await freePort();
const env = { ...process.env, XDG_RUNTIME_DIR: folder, PORT: String(port) };
const supervised = start([RELISTEN, 'run', '--quiet', '--name', 'bench', '--', process.execPath, SERVER], env);
// It gets no clients: what it costs is that it is there.
const beside = start([SERVER], { ...env, PORT: String(await freePort()) });
await answered(`http://127.0.0.1:${port}/`);

const turns = await takeTurns();

/** @type {Map<string, number>[]} */
const goingOver = [];
/** @type {Map<string, number>[]} */
const resting = [];
/** @type {Map<string, number>[]} */
const restarting = [];
let lost = 0;
for (let round = 0; round < ROUNDS; round++) {
  resting.push(await p99(port, 'true', 1));
  goingOver.push(await p99(turns.port, `kill -USR2 ${process.pid}`, 1 + Number(RESTARTS)));
  // Not by `relisten restart`, which boots a Node of its own on the processors that the clients need.
  restarting.push(await p99(port, `kill -HUP ${supervised.pid}`, 1 + Number(RESTARTS)));
}
for (const child of [supervised, beside]) child.kill();
turns.end();
rmSync(folder, { recursive: true, force: true });

for (const name of resting[0]?.keys() ?? []) {
  const [still, over, during] = [resting, goingOver, restarting].map(rounds =>
    rounds.map(seen => seen.get(name) ?? Number.NaN),
  );
  const ratio = (/** @type {number[]} */ to) =>
    quantile((during ?? []).map((value, round) => value / (to[round] ?? Number.NaN)));
  goal(`${name}: p99 while two processes run, median of the rounds`, quantile(still ?? []), 'ms');
  goal(`${name}: p99 when the load goes over to one that has booted`, quantile(over ?? []), 'ms');
  goal(`${name}: p99 during a restart`, quantile(during ?? []), 'ms');
  goal(`${name}: restart ÷ two processes`, ratio(still ?? []), '×', { atMost: 2 });
  goal(`${name}: restart ÷ going over`, ratio(over ?? []), '×');
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

/** The server as two processes that take turns at one listener, at SIGUSR2. */
async function takeTurns() {
  const { bind, listen, socket } = await import(`${DIST}/kernel/socket.js`);
  const fd = socket('IPv4');
  const own = await freePort();
  bind(fd, { family: 'IPv4', host: '127.0.0.1', port: own });
  listen(fd, 511);
  const boot = async () => {
    const child = fork(TURN, { stdio: ['ignore', 'ignore', 'inherit', fd, 'ipc'] });
    await once(child, 'message');
    return child;
  };
  let [serving, next] = await Promise.all([boot(), boot()]);
  serving.send('serve');
  process.on('SIGUSR2', () => {
    next.send('serve');
    serving.send('stop');
    serving = next;
    setTimeout(async () => {
      next = await boot();
    }, BOOTS_AFTER_MS);
  });
  const end = () => {
    for (const child of [serving, next]) child.kill();
  };
  return { port: own, end };
}

/**
 * Of what fell due in the second from each restart's beginning, by class of clients.
 * @param {number} at where the load goes
 * @param {string} restart a shell command
 * @param {number} versions how many must have answered
 */
async function p99(at, restart, versions) {
  const args = ['prove', '--json', '--allow', '1000000', '--restarts', RESTARTS, '--least', AS_LONG];
  const load = ['--url', `http://127.0.0.1:${at}/`, '--slow-path', '/slow', '--restart', restart];
  const { stdout } = await run(process.execPath, [RELISTEN, ...args, ...load], { env, maxBuffer: 1 << 28 });
  /** @type {{ load: { failed: number, generations: unknown[], classes: { name: string, phases: { restart: { latency: { p99: number } } } }[] } }} */
  const { load: seen } = JSON.parse(stdout);
  // Those of the turns are not of a restart: a keep-alive connection that is closed at the wrong moment is lost there.
  if (at === port) lost += seen.failed;
  if (seen.generations.length !== versions) throw new Error(`${seen.generations.length} versions answered`);
  return new Map(seen.classes.map(({ name, phases }) => [name, phases.restart.latency.p99]));
}
