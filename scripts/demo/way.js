/*
 * The two ways of restarting a server that the demo compares. Each starts the command, restarts it, and stops it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {object} Server
 * @property {string} name
 * @property {string[]} command
 * @property {number} port
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

/** Stop it, start it again; where that fails, try again every half second. @param {Server} server @returns {Way} */
export function bare(server) {
  /** @type {Process} */
  let running;
  const start = () => launch(server, server.command);
  return {
    name: 'stop, start',
    start: async () => {
      running = start();
      if (!(await running.listens(server.port)))
        throw new Error(`${server.name} does not start: ${running.lastLine()}`);
    },
    restart: async () => {
      const asked = performance.now();
      await running.end(server.stopSignal);
      while (performance.now() - asked < PATIENCE_MS) {
        running = start();
        if (await running.listens(server.port)) return { ms: performance.now() - asked };
        await delay(RETRY_MS);
      }
      return { ms: undefined, why: running.lastLine() };
    },
    stop: () => running?.end(server.stopSignal),
  };
}

/** `relisten run`, and `relisten restart`. @param {Server} server @returns {Way} */
export function underRelisten(server) {
  const name = `demo-${process.pid}-${server.port}`;
  const options = ['--name', name, '--stop-signal', server.stopSignal, '--quiet'];
  /** @type {Process} */
  let running;
  return {
    name: 'relisten run',
    start: async () => {
      running = launch(server, [process.execPath, RELISTEN, 'run', ...options, '--', ...server.command]);
      if (!(await running.listens(server.port))) throw new Error(`relisten run does not start: ${running.lastLine()}`);
    },
    restart: async () => {
      const asked = performance.now();
      const restart = launch(server, [process.execPath, RELISTEN, 'restart', name]);
      const code = await restart.exited;
      return code === 0 ? { ms: performance.now() - asked } : { ms: undefined, why: restart.lastLine() };
    },
    stop: () => running?.end('SIGTERM'),
  };
}

/** @typedef {ReturnType<typeof launch>} Process */

/** @param {Server} server @param {string[]} command */
function launch(server, [program = '', ...args]) {
  const env = { ...process.env, PORT: String(server.port) };
  const child = spawn(program, args, { cwd: EXAMPLES, env, stdio: ['ignore', 'ignore', 'pipe'] });
  let tail = '';
  child.stderr.on('data', chunk => (tail = (tail + chunk).slice(-2000)));
  /** @type {Promise<number | null>} */
  const exited = new Promise(resolve => {
    child.on('close', resolve);
    child.on('error', error => {
      tail = error.message;
      resolve(127);
    });
  });
  let gone = false;
  exited.then(() => (gone = true));
  return {
    exited,
    lastLine: () => tail.trim().split('\n').at(-1) ?? '',
    /** Waits until a client can connect; false when the process ends before. @param {number} port */
    listens: async port => {
      while (!gone) {
        if (await canConnect(port)) return !gone;
        await Promise.race([exited, delay(5)]);
      }
      return false;
    },
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
