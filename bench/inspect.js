/*
 * How long an inspection takes on a busy host: 50,000 sockets in TIME_WAIT and 5,000 connections, made in a network
 * namespace of its own. In this process, and as a command against what people use: `ss` and `lsof`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { DIST, goal, quantile, RELISTEN } from './goal.js';

const PORT = 3000;
const WAITING = 50_000;
const ESTABLISHED = 5_000;
const IN_PROCESS = 50;
const COMMANDS = 7;
const OTHERS = Array.from({ length: 10 }, (_, index) => 4000 + index);

if (process.argv[2] !== 'inside') {
  const self = fileURLToPath(import.meta.url);
  const inside = `ip link set lo up && ulimit -n "$(ulimit -H -n)" && exec "${process.execPath}" "${self}" inside`;
  const { status } = spawnSync('unshare', ['-n', 'sh', '-c', inside], { stdio: 'inherit' });
  process.exit(status ?? 1);
}

const { inspect } = await import(`${DIST}/inspect/inspect.js`);

/** @param {string[]} args of crowd.js @param {() => Promise<void> | void} measure */
async function withCrowd(args, measure) {
  const crowd = spawn(process.execPath, [fileURLToPath(new URL('./crowd.js', import.meta.url)), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(crowd.stdout, 'data');
  try {
    await measure();
  } finally {
    crowd.stdin.end();
    await once(crowd, 'exit');
    spawnSync('ss', ['-K', '-t', 'state', 'time-wait'], { stdio: 'ignore' });
  }
}

/** @param {string} where @param {{ atMost?: number }} [limits] */
async function inProcess(where, limits) {
  const times = [];
  const cpu = [];
  for (let round = 0; round < IN_PROCESS; round++) {
    const [started, used] = [performance.now(), process.cpuUsage()];
    await inspect(PORT);
    times.push(performance.now() - started);
    const { user, system } = process.cpuUsage(used);
    cpu.push((user + system) / 1000);
  }
  goal(`inspect() in process, ${where}, median`, quantile(times), 'ms', limits);
  goal(`inspect() in process, ${where}, 95 %`, quantile(times, 0.95), 'ms');
  goal(`inspect() in process, ${where}, CPU, median`, quantile(cpu), 'ms');
}

/** In turns, so that what else the machine does hits all alike. @param {Record<string, string[]>} commands */
function whole(commands) {
  /** @type {Record<string, number[]>} */
  const times = Object.fromEntries(Object.keys(commands).map(name => [name, []]));
  for (let round = 0; round < COMMANDS; round++) {
    for (const [name, [program = '', ...args]] of Object.entries(commands)) {
      const started = performance.now();
      spawnSync(program, args, { stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1 << 28 });
      times[name]?.push(performance.now() - started);
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, list]) => [name, quantile(list)]));
}

const RIVALS = {
  'relisten why': [process.execPath, RELISTEN, 'why', String(PORT)],
  ss: ['ss', '-tanp', `sport = :${PORT}`],
  lsof: ['lsof', '-nP', `-iTCP:${PORT}`],
};

/** @param {string} where */
function compare(where) {
  const medians = whole(RIVALS);
  goal(`ss -tanp 'sport = :P', ${where}, median`, medians.ss ?? 0, 'ms');
  goal(`lsof -nP -iTCP:P, ${where}, median`, medians.lsof ?? 0, 'ms');
  goal(`relisten why P, ${where}, median`, medians['relisten why'] ?? 0, 'ms', {
    atMost: Math.round(medians.lsof ?? 0),
  });
}

await inspect(PORT);
const counts = [String(WAITING), String(ESTABLISHED)];
await withCrowd([String(PORT), OTHERS.join(','), ...counts, 'address'], async () => {
  await inProcess('the crowd on other ports', { atMost: 10 });
  compare('the crowd on other ports');
});
await withCrowd([String(PORT), String(PORT), ...counts, 'address'], async () => {
  await inProcess('the crowd on the port itself, which is listened on');
  compare('the crowd on the port itself');
});
await withCrowd([String(PORT), String(PORT), ...counts, 'none', 'gone'], async () => {
  await inProcess('the crowd left on the port by a server without SO_REUSEADDR');
  compare('the crowd left on the port');
});
