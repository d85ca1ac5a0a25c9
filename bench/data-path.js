/*
 * What relisten costs a server that runs: requests a second under relisten against bare, in pairs that swap their order;
 * and what it takes itself: memory and processor while nothing happens, and the time until it has started the server.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import { goal, quantile } from './goal.js';
import { freePort, Hello } from './hello.js';
import { installLibraries } from './libraries.js';

const PAIRS = Number(process.argv[2] ?? 20);
const SECONDS = 1;
const CONNECTIONS = 20;
const STARTS = 15;
/** By then the stage for a restart is set, and V8 has collected what the start has left. */
const SETTLE_MS = 12_000;
const IDLE_MS = 5_000;

installLibraries();
/** @type {(options: { url: string, connections: number, duration: number }) => Promise<{ requests: { average: number, total: number } }>} */
const autocannon = createRequire(import.meta.url)('autocannon');

const bare = new Hello(await freePort(), undefined);
const supervised = new Hello(await freePort(), []);
await Promise.all([bare.firstAnswer(''), supervised.firstAnswer(1)]);

await delay(SETTLE_MS);
const before = cpuMs(supervised.process.pid ?? 0);
await delay(IDLE_MS);
const spent = cpuMs(supervised.process.pid ?? 0) - before;
goal('memory of an idle relisten (RSS)', rssMiB(supervised.process.pid ?? 0), 'MiB', { atMost: 70 });
goal('processor time of an idle relisten in 5 s', spent, 'ms', { atMost: 0 });

for (const server of [bare, supervised]) await load(server);
const rates = [];
const costs = [];
for (let pair = 0; pair < PAIRS; pair++) {
  const first = await load(pair % 2 ? bare : supervised);
  const second = await load(pair % 2 ? supervised : bare);
  const [without, under] = pair % 2 ? [first, second] : [second, first];
  rates.push(under.rate / without.rate);
  costs.push(under.cost / without.cost);
}
await Promise.all([bare.stop(), supervised.stop()]);
goal('requests/s under relisten ÷ bare, median of the pairs', quantile(rates), '×', { atLeast: 0.98 });
goal('the same, 25th percentile', quantile(rates, 0.25), '×');
goal('the same, 75th percentile', quantile(rates, 0.75), '×');
goal("the server's processor time a request, under relisten ÷ bare, median", quantile(costs), '×');

const starts = [];
for (let round = 0; round < STARTS; round++) starts.push((await start([], 1)) - (await start(undefined, '')));
goal('until the first answer, relisten over bare, median', quantile(starts), 'ms', { atMost: 120 });

/** Requests a second, and the server's processor time for each: that one hardly minds what else the machine does. */
async function load(/** @type {Hello} */ server) {
  const pid = await server.pid();
  const before = cpuMs(pid);
  const url = `http://127.0.0.1:${server.port}`;
  const { requests } = await autocannon({ url, connections: CONNECTIONS, duration: SECONDS });
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
