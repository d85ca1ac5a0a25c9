/*
 * What relisten costs a server that runs: requests a second under relisten against bare, in rounds that swap their order,
 * with a second bare one that shows what the machine alone makes of it;
 * and what it takes itself: memory and processor while nothing happens, and the time until it has started the server.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { goal, quantile, RELISTEN } from './goal.js';
import { freePort, Hello } from './hello.js';
import { installLibraries } from './libraries.js';

const ROUNDS = Number(process.argv[2] ?? 20);
const SECONDS = 1;
const CONNECTIONS = 20;
const STARTS = 15;
/** By then the stage for a restart is set, and V8 has collected what the start has left. */
const SETTLE_MS = 12_000;
const IDLE_MS = 5_000;

installLibraries();
const AUTOCANNON = createRequire(import.meta.url).resolve('autocannon');
const run = promisify(execFile);

const bare = new Hello(await freePort(), undefined);
/** What the machine makes of two servers that are the same. */
const twin = new Hello(await freePort(), undefined);
const supervised = new Hello(await freePort(), []);
const servers = [bare, twin, supervised];
await Promise.all([bare.firstAnswer(''), twin.firstAnswer(''), supervised.firstAnswer(1)]);
// All have been busy before they rest. V8 collects the hidden classes of what has run a few times when the process is idle,
// and code compiled later is slower then by a fifth: a server that has answered once escapes it, one that has answered twice
// does not, bare or supervised.
for (const server of servers) await load(server);

await delay(SETTLE_MS);
const before = cpuMs(supervised.process.pid ?? 0);
await delay(IDLE_MS);
const spent = cpuMs(supervised.process.pid ?? 0) - before;
goal('memory of an idle relisten (RSS)', rssMiB(supervised.process.pid ?? 0), 'MiB', { atMost: 70 });
goal('processor time of an idle relisten in 5 s', spent, 'ms', { atMost: 0 });

for (const server of servers) await load(server);
const rates = { twin: [0], supervised: [0] };
const costs = { twin: [0], supervised: [0] };
for (const list of [rates, costs]) for (const one of Object.values(list)) one.pop();
for (let round = 0; round < ROUNDS; round++) {
  const order = round % 2 ? servers : servers.toReversed();
  const seen = new Map();
  for (const server of order) seen.set(server, await load(server));
  const [without, same, under] = servers.map(server => seen.get(server));
  rates.twin.push(same.rate / without.rate);
  rates.supervised.push(under.rate / without.rate);
  costs.twin.push(same.cost / without.cost);
  costs.supervised.push(under.cost / without.cost);
}
await Promise.all(servers.map(server => server.stop()));
goal('requests/s under relisten ÷ bare, median of the rounds', quantile(rates.supervised), '×', { atLeast: 0.98 });
goal('the same, 25th percentile', quantile(rates.supervised, 0.25), '×');
goal('the same, 75th percentile', quantile(rates.supervised, 0.75), '×');
goal('requests/s of a second bare one ÷ bare, median', quantile(rates.twin), '×');
goal("the server's processor time a request, under relisten ÷ bare, median", quantile(costs.supervised), '×');
goal('the same of a second bare one, median', quantile(costs.twin), '×');

const starts = [];
for (let round = 0; round < STARTS; round++) starts.push((await start([], 1)) - (await start(undefined, '')));
const spawns = [];
const underRelisten = [process.execPath, RELISTEN, 'run', '--quiet', '--'];
for (let round = 0; round < STARTS; round++) spawns.push((await untilRun(underRelisten)) - (await untilRun([])));
goal('until the command runs, relisten over bare, median', quantile(spawns), 'ms', { atMost: 120 });
goal("until a server's first answer, relisten over bare, median", quantile(starts), 'ms');

/** Milliseconds until a command runs. @param {string[]} before what starts it */
async function untilRun(before) {
  const [file = '', ...args] = [...before, 'date', '+%s%N'];
  const begun = performance.timeOrigin + performance.now();
  const { stdout } = await run(file, args);
  return Number(stdout) / 1e6 - begun;
}

/** Requests a second, and the server's processor time for each: that one hardly minds what else the machine does. */
async function load(/** @type {Hello} */ server) {
  const pid = await server.pid();
  const before = cpuMs(pid);
  // In a process of its own: in this one, its rate depends on what it has measured before.
  const args = [AUTOCANNON, '--json', '-c', String(CONNECTIONS), '-d', String(SECONDS)];
  const { stdout } = await run(process.execPath, [...args, `http://127.0.0.1:${server.port}`]);
  /** @type {{ requests: { average: number, total: number } }} */
  const { requests } = JSON.parse(stdout);
  return { rate: requests.average, cost: (cpuMs(pid) - before) / requests.total };
}

/** @param {string[] | undefined} options @param {string | number} generation */
async function start(options, generation) {
  const port = await freePort();
  const begun = performance.now();
  const server = new Hello(port, options);
  const took = (await server.firstAnswer(generation)) - begun;
  await server.stop();
  return took;
}

/** @param {number} pid */
function rssMiB(pid) {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024;
}

/** utime and stime of proc_pid_stat(5), in ticks of 10 ms. @param {number} pid */
function cpuMs(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
