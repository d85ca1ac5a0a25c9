/*
 * 20,000 idle keep-alive connections, from one process to the next: time until the old one is rid of the last, memory of
 * both, and whether every connection works afterwards. In a network namespace of its own.
 */
import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DIST, goal } from './goal.js';

const WANTED = 20_000;
/** The receiver keeps a tenth of its descriptors, at most 1,000, for itself; Node and the bench need some. */
const RESERVE = 1_200;
const LIMIT = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]);
/** As many as the hard limit of this machine lets one process have. */
const CONNECTIONS = Math.min(WANTED, LIMIT - RESERVE);
const PORT = 3000;
const SELF = fileURLToPath(import.meta.url);
const [role, ...args] = process.argv.slice(2);

if (role === undefined) outside();
else if (role === 'inside') await inside();
else await serve(Number(role), args[0] ?? '');

function outside() {
  const script = `ip link set lo up && exec "${process.execPath}" "${SELF}" inside`;
  const { status } = spawnSync('unshare', ['-n', 'sh', '-c', script], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
}

/** @param {number} generation @param {string} directory */
async function serve(generation, directory) {
  const { rememberAddress, openGiver } = await import(`${DIST}/handoff/give.js`);
  const { openTaker } = await import(`${DIST}/handoff/take.js`);
  const { drain } = await import(`${DIST}/drain/drain.js`);
  // Whoever is kept idle for minutes is behind a proxy.
  const server = createServer({ keepAliveTimeout: 600_000 }, (_, response) => response.end(String(generation)));
  server.listen({ fd: 3, backlog: 4096 });
  await once(server, 'listening');
  rememberAddress(server);
  openTaker(directory, generation).add(server);
  process.on('message', async message => {
    const started = performance.now();
    const giver = await openGiver(directory, message);
    /** @type {(...offer: unknown[]) => boolean | Promise<boolean>} */
    const handOff = (...offer) => giver.handOff(...offer);
    const { handedOff } = await drain(server, { shared: true, handOff });
    await giver.close();
    process.send?.({ ms: performance.now() - started, handedOff });
  });
  process.send?.('listening');
}

/** @param {number} generation @param {string} directory @param {number} listener */
async function start(generation, directory, listener) {
  const child = fork(SELF, [String(generation), directory], {
    stdio: ['ignore', 'inherit', 'inherit', listener, 'ipc'],
  });
  await once(child, 'message');
  return child;
}

/** Peak of resident memory, in MiB. @param {import('node:child_process').ChildProcess} child */
function peakOf(child) {
  return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024;
}

async function inside() {
  const { bind, listen, socket } = await import(`${DIST}/kernel/socket.js`);
  const directory = mkdtempSync(join(tmpdir(), 'handoff-'));
  const fd = socket('IPv4');
  bind(fd, { family: 'IPv4', host: '0.0.0.0', port: PORT });
  listen(fd, 4096);
  const old = await start(1, directory, fd);
  /** @type {import('node:net').Socket[]} */
  const clients = [];
  let closed = 0;
  for (let at = 0; at < CONNECTIONS; at += 500) {
    const some = Array.from({ length: Math.min(500, CONNECTIONS - at) }, (_, index) =>
      connect(PORT, `127.0.0.${1 + ((at + index) % 8)}`),
    );
    for (const client of some) client.on('close', () => closed++).on('error', () => undefined);
    await Promise.all(some.map(ask));
    clients.push(...some);
  }
  const before = peakOf(old);
  const next = await start(2, directory, fd);
  const told = once(old, 'message');
  old.send({ generation: 2, pid: next.pid, session: next.pid });
  const [{ ms, handedOff }] = await told;
  goal('idle connections handed off', handedOff, 'connections', { atLeast: CONNECTIONS });
  const limit = (1000 * CONNECTIONS) / WANTED;
  goal('from the order until the old process is rid of the last', ms, 'ms', { atMost: Math.round(limit) });
  goal('closed meanwhile', closed, 'connections', { atMost: 0 });
  let answered = 0;
  for (let at = 0; at < CONNECTIONS; at += 500) {
    const answers = await Promise.all(clients.slice(at, at + 500).map(ask));
    answered += answers.filter(answer => answer.endsWith('2')).length;
  }
  goal('answered by the new process afterwards', answered, 'connections', { atLeast: CONNECTIONS });
  goal('old process, peak memory over what the connections took before', peakOf(old) - before, 'MiB');
  goal('new process, peak memory', peakOf(next), 'MiB');
  old.kill();
  next.kill();
  rmSync(directory, { recursive: true });
  process.exit();
}

/** @param {import('node:net').Socket} client @returns {Promise<string>} */
function ask(client) {
  return new Promise(settle => {
    client.once('data', bytes => settle(bytes.toString()));
    client.once('close', () => settle('closed'));
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  });
}
