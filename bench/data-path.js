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

const PAIRS = Number(process.argv[2] ?? 12);
const SECONDS = 3;
const CONNECTIONS = 20;
const STARTS = 15;
const IDLE_MS = 10_000;

installLibraries();
/** @type {(options: { url: string, connections: number, duration: number }) => Promise<{ requests: { average: number } }>} */
const autocannon = createRequire(import.meta.url)('autocannon');

const bare = new Hello(await freePort(), undefined);
const supervised = new Hello(await freePort(), []);
await Promise.all([bare.firstAnswer(''), supervised.firstAnswer(1)]);

await delay(2_000); // the stage for a restart is set by then
const before = cpuMs(supervised.process.pid ?? 0);
await delay(IDLE_MS);
const spent = cpuMs(supervised.process.pid ?? 0) - before;
goal('memory of an idle relisten (RSS)', rssMiB(supervised.process.pid ?? 0), 'MiB', { atMost: 70 });
goal('processor time of an idle relisten in 10 s', spent, 'ms');

for (const server of [bare, supervised]) await requestsPerSecond(server);
const ratios = [];
for (let pair = 0; pair < PAIRS; pair++) {
  /** @type {Map<Hello, number>} */
  const rates = new Map();
  for (const server of pair % 2 ? [bare, supervised] : [supervised, bare]) {
    rates.set(server, await requestsPerSecond(server));
  }
  ratios.push((rates.get(supervised) ?? 0) / (rates.get(bare) ?? 0));
}
await Promise.all([bare.stop(), supervised.stop()]);
goal('requests/s under relisten ÷ bare, median of the pairs', quantile(ratios), '×', { atLeast: 0.98 });
goal('the same, from the 25th percentile', quantile(ratios, 0.25), '×');
goal('to the 75th', quantile(ratios, 0.75), '×');

const starts = [];
for (let round = 0; round < STARTS; round++) starts.push((await start([], 1)) - (await start(undefined, '')));
goal('until the first answer, relisten over bare, median', quantile(starts), 'ms', { atMost: 120 });

/** @param {Hello} server */
async function requestsPerSecond({ port }) {
  const { requests } = await autocannon({
    url: `http://127.0.0.1:${port}`,
    connections: CONNECTIONS,
    duration: SECONDS,
  });
  return requests.average;
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
