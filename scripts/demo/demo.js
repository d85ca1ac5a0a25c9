/*
 * The demo itself: each server, each way, the same clients; then a table of what they saw.
 */
import { spawnSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { startLoadThread } from '../../dist/prove/load-thread.js';
import { freePort } from '../free-port.js';
import { showTable } from './table.js';
import { bare, underRelisten } from './way.js';

const RELISTEN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const RESTARTS = 3;
const PAUSE_MS = 1_000;

/**
 * @typedef {object} Outcome
 * @property {import('./way.js').Server} server
 * @property {string} way
 * @property {import('./way.js').Restart[]} restarts
 * @property {import('../../src/prove/result.ts').LoadResult} load
 */

/** Runs it all; answers the exit code: 1 when clients lost something to `relisten run`. */
export async function demo() {
  const outcomes = [];
  const ended = new AbortController();
  process.once('SIGINT', () => ended.abort(new Error('ended by Ctrl-C')));
  for (const server of SERVERS) {
    if (!canRun(server)) continue;
    say(`\n${styleText('bold', server.name)}  ${styleText('dim', server.command.join(' '))}`);
    for (const way of [bare, underRelisten]) {
      // What the first way leaves behind is not the second one's to wait for.
      const port = await freePort();
      const outcome = await scene(server, way(server, port), port, ended.signal);
      outcomes.push(outcome);
      if (outcome.restarts.some(({ ms }) => ms === undefined)) explain(port);
    }
  }
  console.log(`\n${showTable(outcomes)}`);
  return outcomes.some(({ way, load }) => way === 'relisten run' && load.failed > 0) ? 1 : 0;
}

/** Two servers that know nothing of relisten. @type {import('./way.js').Server[]} */
const SERVERS = [
  {
    name: 'Python socketserver',
    command: ['python3', 'http_server.py'],
    stopSignal: 'SIGINT',
    clients: [{ kind: 'fresh', rate: 100 }],
  },
  {
    name: 'Node',
    command: ['node', 'server.js'],
    stopSignal: 'SIGTERM',
    clients: [
      { kind: 'fresh', rate: 100 },
      { kind: 'keep-alive-get', rate: 300, connections: 30 },
      { kind: 'keep-alive-post', rate: 100, connections: 20 },
    ],
  },
];

/** Says so where it cannot. @param {import('./way.js').Server} server */
function canRun({ name, command: [program = ''] }) {
  const { error } = spawnSync(program, ['--version'], { stdio: 'ignore' });
  if (error) say(`Without ${name}: ${program} is not here`);
  return !error;
}

/**
 * Starts a server, sets clients on it, restarts it.
 *
 * @param {import('./way.js').Server} server
 * @param {import('./way.js').Way} way
 * @param {number} port
 * @param {AbortSignal} signal
 * @returns {Promise<Outcome>}
 */
async function scene(server, way, port, signal) {
  try {
    await way.start();
    const load = await startLoadThread({ target: port, classes: server.clients, timeoutMs: 3_000, signal });
    const progress = setInterval(() => show(way, load.progress(), false), 100);
    const restarts = await restart(way, signal);
    const result = await load.stop();
    clearInterval(progress);
    show(way, result, true);
    return { server, way: way.name, restarts, load: result };
  } finally {
    await way.stop();
  }
}

/** @param {import('./way.js').Way} way @param {AbortSignal} signal */
async function restart(way, signal) {
  const restarts = [];
  await delay(PAUSE_MS, undefined, { signal });
  while (restarts.length < RESTARTS) {
    const outcome = await way.restart();
    restarts.push(outcome);
    if (outcome.ms === undefined) break;
    await delay(PAUSE_MS, undefined, { signal });
  }
  return restarts;
}

/** What `relisten why` says of a port that does not come back: its first line. @param {number} port */
function explain(port) {
  const why = spawnSync(process.execPath, [RELISTEN, 'why', String(port)], { encoding: 'utf8' });
  say(styleText('dim', `  $ relisten why ${port}\n  ${why.stdout.split('\n', 1)[0]}`));
}

/**
 * How a way fares: a line that a terminal draws over itself, and that everything else gets once, at the end.
 *
 * @param {import('./way.js').Way} way
 * @param {{ ok: number, failed: number }} counts
 * @param {boolean} done
 */
function show(way, { ok, failed }, done) {
  const lost = styleText(failed > 0 ? 'red' : 'green', `${failed} lost`);
  const line = `  ${way.name.padEnd(14)} ${String(ok).padStart(6)} answered, ${lost}`;
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${line}${done ? '\n' : ''}`);
  else if (done) say(line);
}

/** @param {string} line */
function say(line) {
  process.stderr.write(`${line}\n`);
}
