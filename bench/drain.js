/*
 * What clients lose when a server is replaced, by how the old one ends: relisten's drain beside server.close() and three
 * libraries, on Node 20, 22, 24 and 26. The listener is held by this process, so that whatever is lost is lost by the
 * ending alone. 100 keep-alive GET connections (1,200 requests/s) and 50 keep-alive POST connections (300/s), 10 s with a
 * restart every second: 15,000 requests a cell.
 *
 *   node bench/drain.js [Node version …] [-- way …]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { close } from '../dist/kernel/fd.js';
import { bind, listen, localAddress, setOption, socket } from '../dist/kernel/socket.js';
import { startLoadThread } from '../dist/prove/load-thread.js';
import { namedLoad } from '../dist/prove/loads.js';
import { nodeOf } from '../scripts/node-of.js';
import { goal } from './goal.js';
import { installLibraries } from './libraries.js';

const SERVER = fileURLToPath(new URL('./drain/server.js', import.meta.url));
const WAYS = ['relisten drain', 'server.close', 'stoppable', 'http-terminator', 'http-graceful-shutdown'];
const RESTARTS = 10;
const EVERY_MS = 1_000;

const given = process.argv.slice(2);
const split = given.includes('--') ? given.indexOf('--') : given.length;
const versions = given.slice(0, split);
const ways = given.slice(split + 1);

installLibraries();
for (const version of versions.length > 0 ? versions : ['20', '22', '24', '26']) {
  const node = version === process.versions.node.split('.')[0] ? process.execPath : nodeOf(version);
  for (const way of ways.length > 0 ? ways : WAYS) await measure(node, version, way);
}

/** @param {string} node @param {string} version @param {string} way */
async function measure(node, version, way) {
  const listener = socket('IPv4', { nonblocking: true });
  setOption(listener, 'SO_REUSEADDR', 1);
  bind(listener, { family: 'IPv4', host: '127.0.0.1', port: 0 });
  listen(listener, 511);
  const address = localAddress(listener);
  const port = address && 'port' in address ? address.port : 0;
  /** @type {{ stopped: number, ended: Promise<number> }[]} */
  const ending = [];
  let current = await start(node, way, listener, 0);
  const load = await startLoadThread({ target: `http://127.0.0.1:${port}`, classes: namedLoad('keep-alive-heavy') });
  for (let generation = 1; generation <= RESTARTS; generation++) {
    const next = pause(EVERY_MS);
    const fresh = await start(node, way, listener, generation);
    const old = current;
    const stopped = performance.now();
    ending.push({ stopped, ended: once(old, 'exit').then(() => performance.now() - stopped) });
    old.kill('SIGTERM');
    current = fresh;
    await next;
  }
  const result = await load.stop();
  const times = await Promise.all(ending.map(({ ended }) => ended));
  current.kill('SIGKILL');
  await once(current, 'exit');
  close(listener);
  const kinds = Object.entries(result.failures).map(([kind, count]) => `${count} ${kind}`);
  const took = Math.round(times.reduce((sum, ms) => sum + ms, 0) / times.length);
  const closed = `${result.closedWhileIdle} idle connections closed`;
  const what = `Node ${version}, ${way}: lost of ${result.due} requests (${kinds.join(', ') || 'none'}; ${closed}; ${took} ms a drain)`;
  goal(what, result.failed, 'requests', way === 'relisten drain' ? { atMost: 0 } : {});
}

/** @param {string} node @param {string} way @param {number} listener @param {number} generation */
async function start(node, way, listener, generation) {
  const child = spawn(node, [SERVER, way], {
    stdio: ['ignore', 'inherit', 'inherit', listener, 'ipc'],
    env: { ...process.env, GENERATION: String(generation) },
  });
  const [word] = await once(child, 'message');
  if (word !== 'ready') throw new Error(`The server said ${word}`);
  return child;
}
