/*
 * 20,000 idle keep-alive connections, from one generation to the next: time until the old one is rid of the last, memory of
 * both, and whether every connection works afterwards. In a network namespace of its own. Where one process may not have so
 * many descriptors, a generation is as many processes as it takes, and so are the clients.
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

const CONNECTIONS = 20_000;
/** The receiver keeps a tenth of its descriptors, at most 1,000, for itself; Node and the bench need some. */
const RESERVE = 1_200;
const LIMIT = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]);
const PROCESSES = Math.ceil(CONNECTIONS / (LIMIT - RESERVE));
const PORT = 3000;
const AT_ONCE = 500;
const SELF = fileURLToPath(import.meta.url);
const [role, ...args] = process.argv.slice(2);

if (role === undefined) outside();
else if (role === 'inside') await inside();
else if (role === 'clients') await beClients(Number(args[0]), Number(args[1]));
else await serve(Number(role), args[0] ?? '');

function outside() {
  const script = `ip link set lo up && exec "${process.execPath}" "${SELF}" inside`;
  // A session of its own, by which the giver knows the receivers.
  const { status } = spawnSync('unshare', ['-n', 'setsid', '-w', 'sh', '-c', script], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
}

/** @param {number} generation @param {string} directory */
async function serve(generation, directory) {
  const { rememberAddress } = await import(`${DIST}/handoff/describe.js`);
  const { openGiver } = await import(`${DIST}/handoff/give.js`);
  const { openTaker } = await import(`${DIST}/handoff/take.js`);
  const { drain } = await import(`${DIST}/drain/drain.js`);
  // Whoever is kept idle for minutes is behind a proxy.
  const server = createServer({ keepAliveTimeout: 600_000 }, (_, response) => response.end(String(generation)));
  server.listen({ fd: 3, backlog: 4096 });
  await once(server, 'listening');
  rememberAddress(server);
  openTaker(directory, generation).add(server);
  process.on('message', async message => {
    const giver = await openGiver(directory, message);
    /** @type {(...offer: unknown[]) => boolean | Promise<boolean>} */
    const handOff = (...offer) => giver.handOff(...offer);
    const { handedOff } = await drain(server, { shared: true, handOff });
    await giver.close();
    process.send?.(handedOff);
  });
  process.send?.('listening');
}

/** Connects, and asks on every connection whenever it is told to. @param {number} count @param {number} first */
async function beClients(count, first) {
  /** @type {import('node:net').Socket[]} */
  const clients = [];
  let closed = 0;
  for (let at = 0; at < count; at += AT_ONCE) {
    const some = Array.from({ length: Math.min(AT_ONCE, count - at) }, (_, index) =>
      connect(PORT, `127.0.0.${1 + ((first + at + index) % 8)}`),
    );
    for (const client of some) client.on('close', () => closed++).on('error', () => undefined);
    await Promise.all(some.map(ask));
    clients.push(...some);
  }
  process.on('message', async () => {
    const before = closed;
    let answered = 0;
    for (let at = 0; at < count; at += AT_ONCE) {
      const answers = await Promise.all(clients.slice(at, at + AT_ONCE).map(ask));
      answered += answers.filter(answer => answer.endsWith('2')).length;
    }
    process.send?.({ closed: before, answered });
  });
  process.send?.('connected');
}

/** @param {string[]} words @param {import('node:child_process').StdioOptions} stdio */
async function start(words, stdio) {
  const child = fork(SELF, words, { stdio });
  await once(child, 'message');
  return child;
}

/** @param {number} generation @param {string} directory @param {number} listener */
function startGeneration(generation, directory, listener) {
  const words = [String(generation), directory];
  return Promise.all(
    Array.from({ length: PROCESSES }, () => start(words, ['ignore', 'inherit', 'inherit', listener, 'ipc'])),
  );
}

/** Peak of resident memory, in MiB; all together. @param {import('node:child_process').ChildProcess[]} children */
function peakOf(children) {
  const peaks = children.map(({ pid }) => /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  return peaks.reduce((sum, peak) => sum + Number(peak) / 1024, 0);
}

async function inside() {
  const { bind, listen, socket } = await import(`${DIST}/kernel/socket.js`);
  const { processIds } = await import(`${DIST}/kernel/process.js`);
  const directory = mkdtempSync(join(tmpdir(), 'handoff-'));
  const fd = socket('IPv4');
  bind(fd, { family: 'IPv4', host: '0.0.0.0', port: PORT });
  listen(fd, 4096);
  const old = await startGeneration(1, directory, fd);
  const share = CONNECTIONS / PROCESSES;
  const clients = await Promise.all(
    Array.from({ length: PROCESSES }, (_, at) =>
      start(['clients', String(share), String(at * share)], ['ignore', 'inherit', 'inherit', 'ipc']),
    ),
  );
  const before = peakOf(old);
  const next = await startGeneration(2, directory, fd);
  const told = old.map(child => once(child, 'message'));
  const begun = performance.now();
  for (const child of old) child.send({ generation: 2, pid: next[0]?.pid, session: processIds(process.pid).sid });
  const handedOff = (await Promise.all(told)).reduce((sum, [count]) => sum + count, 0);
  const ms = performance.now() - begun;
  const what = PROCESSES === 1 ? 'the old process is' : `the ${PROCESSES} old processes are`;
  goal('idle connections handed off', handedOff, 'connections', { atLeast: CONNECTIONS });
  goal(`from the order until ${what} rid of the last`, ms, 'ms', { atMost: 1000 });
  for (const child of clients) child.send('ask');
  const seen = (await Promise.all(clients.map(child => once(child, 'message')))).map(([counts]) => counts);
  const sum = (/** @type {'closed' | 'answered'} */ name) => seen.reduce((so, counts) => so + counts[name], 0);
  goal('closed meanwhile', sum('closed'), 'connections', { atMost: 0 });
  goal('answered by the new generation afterwards', sum('answered'), 'connections', { atLeast: CONNECTIONS });
  goal('old generation, peak memory over what the connections took before', peakOf(old) - before, 'MiB');
  goal('new generation, peak memory', peakOf(next), 'MiB');
  for (const child of [...old, ...next, ...clients]) child.kill();
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
