import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { createInterface } from 'node:readline';
import { parseAddress } from '../address.ts';
import { RelistenError } from '../errors.ts';
import type { GenerationEvent, RestartRecord } from './proof.ts';
import type { Subject } from './subject.ts';

/** How to run a command under relisten. */
export interface SupervisedOptions {
  /** What starts relisten: a program and its first arguments. */
  relisten: readonly string[];
  command: readonly string[];
  /** For `relisten run`, before the command. */
  runOptions: readonly string[];
  /** A restart is the death of the ready generation by SIGKILL. */
  kill: boolean;
  signal: AbortSignal;
}

/** A server that `relisten run` runs as a child of ours. */
export interface SupervisedSubject extends Subject {
  /** Where it listens, for a load; undefined where nobody told. */
  readonly target: string | undefined;
}

/** A line of `relisten run --json`, as far as it concerns us. */
interface Line {
  at: number;
  type: string;
  generation?: number;
  state?: GenerationEvent['state'];
  pid?: number;
  reason?: string;
  address?: string;
}

/** How many lines of what the server says are kept, for when it does not come up. */
const LINES_KEPT = 20;

/**
 * Starts the command under `relisten run` and waits until it is ready.
 *
 * @throws RelistenError `ERR_NOT_READY`, or what `relisten run` answers for a command that it cannot run, with what was
 *   said
 */
export async function superviseSubject(options: SupervisedOptions): Promise<SupervisedSubject> {
  const run = new SupervisedRun(options);
  try {
    await run.ready(0, options.signal);
  } catch (error) {
    await run.close();
    throw error;
  }
  return run;
}

class SupervisedRun implements SupervisedSubject {
  readonly command: string;
  readonly restartedBy: string;
  readonly events: GenerationEvent[] = [];
  target: string | undefined;
  readonly #kill: boolean;
  readonly #child: ChildProcess;
  readonly #lines = new EventEmitter<{ change: [] }>();
  readonly #said: string[] = [];
  #pid = 0;
  /** The generation that was ready last; 0 before the first. */
  #generation = 0;
  /** Why a generation failed last. */
  #reason: string | undefined;
  /** How relisten ended, once it has. */
  #ended: string | undefined;

  constructor({ relisten, command, runOptions, kill }: SupervisedOptions) {
    const [program = '', ...first] = relisten;
    const name = `prove-${process.pid}`;
    const args = [...first, 'run', '--json', '--no-keys', '--name', name, ...runOptions, '--', ...command];
    this.command = command.join(' ');
    this.restartedBy = kill ? 'relisten run, after SIGKILL' : 'relisten run';
    this.#kill = kill;
    // A group of its own: Ctrl-C is for us, and we end it when the load is down.
    this.#child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    if (this.#child.stderr) createInterface(this.#child.stderr).on('line', line => this.#take(line));
    this.#child.on('error', error => this.#onEnd(error.message));
    this.#child.on('close', (code, signal) => this.#onEnd(signal ?? `exit code ${code}`));
  }

  /** Waits for a generation after this one; answers why it failed, if it did. */
  async ready(after: number, signal: AbortSignal): Promise<string | undefined> {
    for (;;) {
      if (this.#generation > after) return undefined;
      const failed = this.events.find(event => event.state === 'failed' && Number(event.generation) > after);
      if (failed && after > 0) return this.#reason;
      if (this.#ended !== undefined) throw this.#gone();
      await once(this.#lines, 'change', { signal });
    }
  }

  async restart(signal: AbortSignal): Promise<Pick<RestartRecord, 'ok' | 'detail'>> {
    const old = this.#generation;
    if (this.#kill) killServing(this.#pid);
    else this.#child.kill('SIGHUP');
    const failed = await this.ready(old, signal);
    if (failed !== undefined) return { ok: false, detail: failed };
    while (!this.#isGone(old)) {
      if (this.#ended !== undefined) throw this.#gone();
      await once(this.#lines, 'change', { signal });
    }
    return { ok: true };
  }

  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGTERM');
    // A second signal ends it at once; nobody listens to a drain any more.
    const hurry = setTimeout(() => this.#child.kill('SIGTERM'), 2000);
    await closed;
    clearTimeout(hurry);
  }

  #isGone(generation: number): boolean {
    return this.events.some(event => event.state === 'exited' && event.generation === String(generation));
  }

  #take(text: string): void {
    const line = parseLine(text);
    if (!line) {
      this.#said.push(text);
      if (this.#said.length > LINES_KEPT) this.#said.shift();
      return;
    }
    if (line.address !== undefined && (line.type === 'listening' || line.type === 'held')) {
      this.target ??= targetAt(line.address);
    }
    if (line.type !== 'state' || line.state === undefined) return;
    this.events.push({ at: line.at, generation: String(line.generation), state: line.state });
    if (line.state === 'failed') this.#reason = line.reason ?? 'failed';
    if (line.state === 'ready') {
      this.#generation = line.generation ?? 0;
      this.#pid = line.pid ?? 0;
    }
    this.#lines.emit('change');
  }

  #onEnd(how: string): void {
    this.#ended ??= how;
    this.#lines.emit('change');
  }

  #gone(): RelistenError {
    const said = [...(this.#reason === undefined ? [] : [this.#reason]), ...this.#said];
    const message = `Cannot prove ${this.command}: relisten run ended (${this.#ended})`;
    const code = CODES[this.#child.exitCode ?? 0] ?? 'ERR_NOT_READY';
    return new RelistenError([message, ...said.map(line => `  ${line}`)].join('\n'), { code, op: 'prove' });
  }
}

/** What the exit codes of `relisten run` say of its command line. */
const CODES: Record<number, string> = {
  2: 'ERR_INVALID_ARG_VALUE',
  126: 'ERR_COMMAND_NOT_EXECUTABLE',
  127: 'ERR_COMMAND_NOT_FOUND',
};

/** A line of `relisten run --json`; anything else is the server's own. */
function parseLine(text: string): Line | undefined {
  if (!text.startsWith('{"at":')) return undefined;
  try {
    return JSON.parse(text) as Line;
  } catch {
    return undefined;
  }
}

/** Wildcards are reached over loopback; `localhost`, because `[::]` may or may not cover IPv4. */
function targetAt(text: string): string {
  const address = parseAddress(text);
  if ('path' in address) return text;
  const host = address.host === '::' ? 'localhost' : address.host === '0.0.0.0' ? '127.0.0.1' : address.host;
  return `http://${host?.includes(':') ? `[${host}]` : host}:${address.port}`;
}

/** Kills the generation with everything in its process group, as the OOM killer or a machine check would. */
function killServing(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    process.kill(pid, 'SIGKILL');
  }
}
