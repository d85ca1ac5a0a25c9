/*
 * The two ways of restarting a server that the demo compares. Each starts the command, restarts it, and stops it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {object} Server
 * @property {string} name
 * @property {string[]} command
 * @property {NodeJS.Signals} stopSignal what people end it with
 * @property {import('../../src/prove/classes.ts').ClassOptions[]} clients
 */

/**
 * @typedef {object} Way
 * @property {string} name
 * @property {() => Promise<void>} start until it listens
 * @property {() => Promise<Restart>} restart
 * @property {() => Promise<void>} stop
 */

/**
 * @typedef {object} Restart
 * @property {number | undefined} ms from the request until the new one listens; undefined when it never did
 * @property {string} [why] what kept it from listening
 */

const RELISTEN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url));

/** How long a start is tried over and over, and how often: about what a person would bear. */
const PATIENCE_MS = 5_000;
const RETRY_MS = 500;

/**
 * Stop it, start it again; where that fails, try again every half second.
 *
 * @param {Server} server
 * @param {number} port
 * @returns {Way}
 */
export function bare(server, port) {
  /** @type {Process} */
  let running;
  const start = () => launch(server.command, port);
  return {
    name: 'stop, start',
    start: async () => {
      running = start();
      if (!(await running.listens())) throw new Error(`${server.name} does not start: ${running.lastLine()}`);
    },
    restart: async () => {
      const asked = performance.now();
      await running.end(server.stopSignal);
      while (performance.now() - asked < PATIENCE_MS) {
        running = start();
        if (await running.listens()) return { ms: performance.now() - asked };
        await delay(RETRY_MS);
      }
      return { ms: undefined, why: running.lastLine() };
    },
    stop: () => running?.end(server.stopSignal),
  };
}

/**
 * `relisten run`, and SIGHUP for a restart.
 *
 * @param {Server} server
 * @param {number} port
 * @returns {Way}
 */
export function underRelisten(server, port) {
  const options = ['--name', `demo-${process.pid}-${port}`, '--stop-signal', server.stopSignal, '--json'];
  /** @type {Process} */
  let running;
  return {
    name: 'relisten run',
    start: async () => {
      running = launch([process.execPath, RELISTEN, 'run', ...options, '--', ...server.command], port);
      if (!(await running.says(isSettled))) throw new Error(`relisten run does not start: ${running.lastLine()}`);
    },
    restart: async () => {
      const asked = performance.now();
      const settled = running.says(isSettled);
      running.signal('SIGHUP');
      const event = await settled;
      if (event?.state === 'ready') return { ms: performance.now() - asked };
      return { ms: undefined, why: event?.reason ?? running.lastLine() };
    },
    stop: () => running?.end('SIGTERM'),
  };
}

/**
 * Whether the new generation is ready, or has failed.
 *
 * @param {{ type?: string, state?: string }} event a line of `relisten run --json`
 */
function isSettled({ type, state }) {
  return type === 'state' && (state === 'ready' || state === 'failed');
}

/** @typedef {ReturnType<typeof launch>} Process */

/** @param {string[]} command @param {number} port */
function launch([program = '', ...args], port) {
  const env = { ...process.env, PORT: String(port) };
  const child = spawn(program, args, { cwd: EXAMPLES, env, stdio: ['ignore', 'ignore', 'pipe'] });
  const lines = createInterface(child.stderr);
  let lastLine = '';
  lines.on('line', line => (lastLine = line));
  /** @type {Promise<number | null>} */
  const exited = new Promise(resolve => {
    child.on('close', resolve);
    child.on('error', error => {
      lastLine = error.message;
      resolve(127);
    });
  });
  let gone = false;
  exited.then(() => (gone = true));
  return {
    exited,
    lastLine: () => lastLine,
    /**
     * The next line of JSON on stderr that `wanted` picks; undefined when the process ends before.
     *
     * @param {(event: { type?: string, state?: string, reason?: string }) => boolean} wanted
     * @returns {Promise<{ state?: string, reason?: string } | undefined>}
     */
    says: wanted =>
      new Promise(resolve => {
        lines.on('line', function take(line) {
          const event = line.startsWith('{') ? JSON.parse(line) : {};
          if (!wanted(event)) return;
          lines.off('line', take);
          resolve(event);
        });
        exited.then(() => resolve(undefined));
      }),
    /** Waits until a client can connect; false when the process ends before. */
    listens: async () => {
      while (!gone) {
        if (await canConnect(port)) return !gone;
        await Promise.race([exited, delay(5)]);
      }
      return false;
    },
    /** @param {NodeJS.Signals} signal */
    signal: signal => void child.kill(signal),
    /** @param {NodeJS.Signals} signal */
    end: async signal => {
      if (gone) return;
      child.kill(signal);
      const patience = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
      await exited;
      clearTimeout(patience);
    },
  };
}

/** @param {number} port */
async function canConnect(port) {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
