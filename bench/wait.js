/*
 * The time between the kernel freeing an address and listen() having it. Servers without SO_REUSEADDR close their
 * connections first and go: TIME_WAIT blocks each port for 60 s and up to 2 s more (HZ=250). A second process looks every
 * millisecond and notes when each was last seen blocked, so that the numbers are upper bounds; both read CLOCK_MONOTONIC.
 * Takes a good minute.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { listen } from '../dist/index.js';
import { close } from '../dist/kernel/fd.js';
import { dumpTcp } from '../dist/kernel/sock-diag.js';
import { accept, bind, connect, listen as listenOn, localAddress, setOption, socket } from '../dist/kernel/socket.js';
import { goal, quantile } from './goal.js';

const SERVERS = 12;
const ROUNDS = 50;
const SELF = fileURLToPath(import.meta.url);
const HOST = '127.0.0.1';

const now = () => Number(process.hrtime.bigint()) / 1e6;

/** A listener without SO_REUSEADDR unless asked. */
function open(reuse = false) {
  const fd = socket('IPv4');
  if (reuse) setOption(fd, 'SO_REUSEADDR', 1);
  bind(fd, { family: 'IPv4', host: HOST, port: 0 });
  listenOn(fd, 1);
  const address = localAddress(fd);
  if (address?.family !== 'IPv4') throw new Error('a listener has an address');
  return { fd, address };
}

/** @returns the port of a server that is gone and has left one TIME_WAIT socket */
function leaveTimeWait() {
  const { fd, address } = open();
  const client = socket('IPv4');
  connect(client, address);
  close(accept(fd));
  close(client);
  close(fd);
  return address.port;
}

/** Prints `port time` for each port: when it was last seen blocked. @param {number[]} ports */
function watch(ports) {
  const waiting = new Set(ports);
  let last = now();
  const pause = new Int32Array(new SharedArrayBuffer(4));
  console.log('ready');
  while (waiting.size > 0) {
    const time = now();
    const blocked = new Set(dumpTcp().flatMap(({ state, localPort }) => (state === 'TIME_WAIT' ? [localPort] : [])));
    for (const port of waiting) {
      if (blocked.has(port)) continue;
      console.log(`${port} ${last}`);
      waiting.delete(port);
    }
    last = time;
    Atomics.wait(pause, 0, 0, 1);
  }
}

async function afterTimeWait() {
  const ports = [];
  for (let index = 0; index < SERVERS; index++) {
    ports.push(leaveTimeWait());
    // The timers of one moment run out in one moment.
    await sleep(331);
  }
  // Before everybody else where that is permitted: who looks late measures itself (sched(7), SCHED_FIFO).
  const first = process.getuid?.() === 0 ? ['chrt', '-f', '1'] : [];
  const [program = '', ...args] = [...first, process.execPath, SELF, 'watch', ...ports.map(String)];
  const watcher = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: watcher.stdout });
  await once(lines, 'line');
  /** @type {Map<number, number>} */
  const freed = new Map();
  lines.on('line', line => {
    const [port, time] = line.split(' ').map(Number);
    freed.set(port ?? 0, time ?? 0);
  });
  /** @type {Map<number, number>} */
  const taken = new Map();
  const servers = await Promise.all(
    ports.map(async port => {
      const listening = await listen(createServer(), { port, host: HOST });
      taken.set(port, now());
      return listening;
    }),
  );
  await once(watcher, 'exit');
  await Promise.all(servers.map(server => server.close()));
  return ports.map(port => (taken.get(port) ?? Number.NaN) - (freed.get(port) ?? Number.NaN));
}

async function afterLiveProcess() {
  const delays = [];
  for (let round = 0; round < ROUNDS; round++) {
    const { fd, address } = open(true);
    let freed = 0;
    const listening = await listen(createServer(), {
      ...{ port: address.port, host: HOST, retry: true },
      onWait: () => {
        setTimeout(
          () => {
            close(fd);
            freed = now();
          },
          50 + round * 3.7,
        );
      },
    });
    delays.push(now() - freed);
    await listening.close();
  }
  return delays;
}

/** A network namespace of its own, so that nobody else's sockets slow the watcher down. */
function inNamespace() {
  if (process.getuid?.() !== 0 || process.env.RELISTEN_BENCH_NETNS) return false;
  const script = 'ip link set lo up && exec "$@"';
  const { status } = spawnSync('unshare', ['-n', 'sh', '-c', script, 'sh', process.execPath, SELF], {
    stdio: 'inherit',
    env: { ...process.env, RELISTEN_BENCH_NETNS: '1' },
  });
  process.exitCode = status ?? 1;
  return true;
}

if (process.argv[2] === 'watch') watch(process.argv.slice(3).map(Number));
else if (!inNamespace()) {
  const live = await afterLiveProcess();
  goal('a live process closes: free to listening, median', quantile(live), 'ms', { atMost: 20 });
  goal('a live process closes: free to listening, worst', Math.max(...live), 'ms');
  const leftovers = await afterTimeWait();
  goal('TIME_WAIT runs out: free to listening, median', quantile(leftovers), 'ms', { atMost: 20 });
  goal('TIME_WAIT runs out: free to listening, worst', Math.max(...leftovers), 'ms');
}
