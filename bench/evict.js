/*
 * How long it takes to destroy 10,000 sockets in TIME_WAIT on one port, in a network namespace of its own: found and
 * destroyed over netlink, and listened on at once; against `ss -K`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { DIST, goal, quantile } from './goal.js';

const PORT = 3000;
const WAITING = 10_000;
const ROUNDS = 5;

if (process.argv[2] !== 'inside') {
  const inside = `ip link set lo up && exec "${process.execPath}" "${fileURLToPath(import.meta.url)}" inside`;
  const { status } = spawnSync('unshare', ['-n', 'sh', '-c', inside], { stdio: 'inherit' });
  process.exit(status ?? 1);
}

const { destroySockets, dumpTcp } = await import(`${DIST}/kernel/sock-diag.js`);
const { listen } = await import(`${DIST}/listen.js`);
const { createServer } = await import('node:net');

/** Leaves the sockets of a server that did not set SO_REUSEADDR. */
async function leaveCrowd() {
  const crowd = fileURLToPath(new URL('./crowd.js', import.meta.url));
  const child = spawn(process.execPath, [crowd, String(PORT), String(PORT), String(WAITING), '0', 'none'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.stdin.end();
  await once(child, 'exit');
}

const waiting = () => dumpTcp({ localPort: PORT, states: ['TIME_WAIT'] }).length;

/** @param {() => void | Promise<void>} evict */
async function measure(evict) {
  const times = [];
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    await leaveCrowd();
    least = Math.min(least, waiting());
    const started = performance.now();
    await evict();
    times.push(performance.now() - started);
    if (waiting() > 0) throw new Error('Some are left');
  }
  return { median: quantile(times), least };
}

const ours = await measure(() => {
  destroySockets(dumpTcp({ localPort: PORT, states: ['TIME_WAIT'] }));
});
goal('left in TIME_WAIT, at least', ours.least, 'sockets', { atLeast: WAITING * 0.95 });
goal('finding and destroying them, median', ours.median, 'ms', { atMost: 1000 });

const listening = await measure(async () => {
  const server = createServer();
  const { close } = await listen(server, { port: PORT, evict: true });
  await close();
});
goal('listen({ evict: true }) on their port, median', listening.median, 'ms', { atMost: 1000 });

const theirs = await measure(() => {
  spawnSync('ss', ['-K', '-tn', 'state', 'time-wait', 'sport', '=', `:${PORT}`], { stdio: 'ignore' });
});
goal("ss -K 'sport = :P', median", theirs.median, 'ms');
