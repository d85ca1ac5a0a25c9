/*
 * The server that relisten's own cost is measured on: Node's hello world, which answers with its generation's number; and
 * how it is started, bare and supervised.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { RELISTEN } from './goal.js';

export { freePort } from '../scripts/free-port.js';

const SELF = fileURLToPath(import.meta.url);
/** A look costs a running server a millisecond, and so the one that starts beside it, too: not more often than this. */
const LOOK_MS = 4;

/** A server that runs: its process, or relisten's. */
export class Hello {
  /**
   * @param {number} port
   * @param {string[] | undefined} options of `relisten run`; undefined: bare
   */
  constructor(port, options) {
    this.port = port;
    // In memory, as XDG_RUNTIME_DIR is where a user has one.
    this.runtime = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'bench-'));
    const supervisor = options === undefined ? [] : [RELISTEN, 'run', '--quiet', ...options, '--', process.execPath];
    this.process = spawn(process.execPath, [...supervisor, SELF], {
      env: { ...process.env, PORT: String(port), XDG_RUNTIME_DIR: this.runtime },
      stdio: 'ignore',
      // As a supervised one: each session gets an equal share of a busy machine (sched(7), "The autogroup feature").
      detached: options === undefined,
    });
  }

  /**
   * When it first answered as this generation; '' for a bare one.
   *
   * @param {string | number} generation
   * @param {number} [afterMs] nobody asks until then
   */
  async firstAnswer(generation, afterMs = 0) {
    await delay(afterMs + Math.random() * LOOK_MS); // so that the looks come at no fixed distance from the start
    const end = `\r\n\r\n${generation}\n`;
    while (!(await ask(this.port)).endsWith(end)) await delay(LOOK_MS);
    return performance.now();
  }

  /** The server's own process. */
  async pid() {
    return Number(/^x-pid: (\d+)/m.exec(await ask(this.port))?.[1]);
  }

  async stop() {
    this.process.kill();
    await once(this.process, 'exit');
    rmSync(this.runtime, { recursive: true, force: true });
  }
}

/** @param {number} port @returns {Promise<string>} */
function ask(port) {
  return new Promise(resolve => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.0\r\n\r\n'));
    socket.on('data', chunk => {
      answer += chunk;
    });
    socket.on('error', () => {}); // close follows
    socket.on('close', () => resolve(answer));
  });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  createServer((_request, response) => {
    response.setHeader('x-pid', process.pid);
    response.end(`${process.env.RELISTEN_GENERATION ?? ''}\n`);
  }).listen(Number(process.env.PORT), '127.0.0.1');
}
