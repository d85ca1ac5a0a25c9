/*
 * A program that a row runs, and what it says. Nobody ends it by hand: it ends with the row's namespace.
 */
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { createInterface } from 'node:readline';

/** How long anything that a row waits for may take. */
const DEADLINE_MS = 20_000;

export class Program {
  /** Lines of stdout and stderr. @type {string[]} */
  said = [];
  #events = new EventEmitter();

  /** @param {string[]} command @param {NodeJS.ProcessEnv} [env] @param {string} [cwd] */
  constructor(command, env = {}, cwd = process.cwd()) {
    const [program = '', ...args] = command;
    const options = { cwd, env: { ...process.env, ...env } };
    this.child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    this.pid = this.child.pid ?? 0;
    for (const stream of [this.child.stdout, this.child.stderr]) {
      createInterface(stream).on('line', line => {
        this.said.push(line);
        this.#events.emit('line');
      });
    }
    this.exited = new Promise(done => {
      this.child.once('exit', done);
      this.child.once('error', error => {
        this.said.push(error.message);
        done(127);
      });
    });
  }

  /** @param {NodeJS.Signals} signal */
  kill(signal) {
    this.child.kill(signal);
  }

  /**
   * Waits until so many lines match, of those after the first `from`.
   * @param {RegExp} pattern
   */
  async says(pattern, { from = 0, times = 1 } = {}) {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const matching = () => this.said.slice(from).filter(line => pattern.test(line)).length;
    while (matching() < times) {
      await once(this.#events, 'line', { signal }).catch(() => {
        throw new Error(
          `${this.child.spawnargs.join(' ')} did not say ${pattern}:\n${this.said.slice(-20).join('\n')}`,
        );
      });
    }
  }
}

/** Runs a command to its end. @param {string[]} command @param {NodeJS.ProcessEnv} [env] */
export async function finish(command, env) {
  const program = new Program(command, env);
  const code = await program.exited;
  if (code !== 0) throw new Error(`${command.join(' ')} exited with ${code}:\n${program.said.slice(-20).join('\n')}`);
  return program.said;
}

/** Asks again and again. @param {() => unknown} condition @param {string} what */
export async function until(condition, what, deadlineMs = DEADLINE_MS, everyMs = 10) {
  const deadline = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`Waited in vain until ${what}`);
    await new Promise(done => setTimeout(done, everyMs));
  }
}
