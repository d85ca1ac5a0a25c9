import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { commandOf } from '../../scripts/leftovers.js';
import { allProcessIds, processIds } from '../../src/kernel/process.ts';
import { startTicks } from '../../src/kernel/procfs.ts';
import type { SuperviseEvent } from '../../src/supervise/events.ts';
import { familyOf } from '../../src/supervise/family.ts';
import { RELISTEN } from '../fixtures/relisten.ts';

export { freePort } from '../../scripts/free-port.js';

/** Nothing that these tests wait for takes longer on a machine that is busy. */
const DEADLINE_MS = 30_000;
const SETTLE_MS = 2_000;
/** nobody, of every system. */
export const NOBODY = 65_534;

export interface RunOptions {
  /** `run`, or `take` and its address. @default ['run'] */
  verb?: string[];
  /** Where its control socket and state are; one of its own by default. */
  runtime?: string;
  /** The program; the one that `npm run build` made by default. */
  program?: string;
  /** Options of the verb. */
  args?: string[];
  env?: NodeJS.ProcessEnv;
  /** As which user relisten itself runs; 0 by default. */
  uid?: number;
  /** A command that starts relisten, which it gets as its arguments. */
  under?: string[];
  /** With no_new_privs already set. */
  noNewPrivileges?: boolean;
}

type Event<T extends SuperviseEvent['type']> = Extract<SuperviseEvent, { type: T }>;

type Exit = [code: number | null, signal: NodeJS.Signals | null];

/** How relisten ended. */
export interface End {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** What of its processes, sockets and files was left. */
  left: string[];
}

/** `relisten run` with a command, in a runtime directory of its own, seen from outside. */
export class Supervised {
  readonly events: SuperviseEvent[] = [];
  /** Lines of stderr that are no events: the program's own, and relisten's talk. */
  readonly lines: string[] = [];
  readonly stdout: string[] = [];
  readonly #child: ChildProcess;
  readonly runtime: string;
  readonly #ended: Promise<Exit>;
  /** Every process that was ever seen below it, by pid, with its start time. */
  readonly #seen = new Map<number, number>();
  #onChange = () => {};
  #hasEnded = false;

  constructor(command: string[], options: RunOptions = {}) {
    const { verb = ['run'], args = [], env = {}, under = [], uid = 0, noNewPrivileges = false } = options;
    this.runtime = options.runtime ?? mkdtempSync(join(tmpdir(), 'run-'));
    if (uid !== 0) {
      chmodSync(tmpdir(), 0o755);
      chownSync(this.runtime, uid, uid);
    }
    const argv = [
      ...under,
      ...setpriv(uid, noNewPrivileges),
      process.execPath,
      options.program ?? RELISTEN,
      verb[0] ?? 'run',
      '--json',
      ...args,
      ...verb.slice(1),
      '--',
      ...command,
    ];
    this.#child = spawn(argv[0] ?? '', argv.slice(1), {
      env: { ...process.env, ...env, XDG_RUNTIME_DIR: this.runtime },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#ended = once(this.#child, 'close') as Promise<Exit>;
    void this.#ended.then(() => {
      this.#hasEnded = true;
      this.#onChange();
    });
    this.#read();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Of the newest generation that is ready. */
  get ready(): Event<'state'> | undefined {
    return this.events.findLast((event): event is Event<'state'> => event.type === 'state' && event.state === 'ready');
  }

  /** Waits for an event; those that have come already count, from the given index on. */
  async event<T extends SuperviseEvent['type']>(
    type: T,
    matches: (event: Event<T>) => boolean = () => true,
    from = 0,
  ): Promise<Event<T>> {
    const isIt = (event: SuperviseEvent): event is Event<T> => event.type === type && matches(event as Event<T>);
    const find = () => this.events.slice(from).find(isIt);
    return this.#until(find, `an event ${type} that fits ${matches}`);
  }

  /** Waits for a line of stderr that is no event. */
  line(pattern: RegExp): Promise<string> {
    return this.#until(() => this.lines.find(line => pattern.test(line)), `a line that matches ${pattern}`);
  }

  /** Waits until something is so that no event tells. */
  async until(isSo: () => boolean): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    while (!isSo()) {
      if (this.#hasEnded || Date.now() > deadline) throw new Error(`It never was so: ${isSo}\n${this.transcript()}`);
      await delay(5);
    }
  }

  async #until<T>(find: () => T | undefined, what: string): Promise<T> {
    const deadline = Date.now() + DEADLINE_MS;
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (this.#hasEnded || Date.now() > deadline) throw new Error(`Did not see ${what}:\n${this.transcript()}`);
      await new Promise<void>(fulfil => {
        const timer = setTimeout(fulfil, deadline - Date.now());
        this.#onChange = () => {
          clearTimeout(timer);
          fulfil();
        };
      });
    }
  }

  /** The first generation is ready. */
  async started(): Promise<this> {
    await this.event('state', ({ state }) => state === 'ready');
    this.look();
    return this;
  }

  /** Asks for a restart, and waits until the new generation is ready and the old one is gone. */
  async restart(): Promise<Event<'state'>> {
    const old = this.ready?.generation ?? 0;
    const from = this.events.length;
    this.kill('SIGHUP');
    const ready = await this.event('state', ({ state }) => state === 'ready', from);
    this.look();
    await this.event('state', ({ generation, state }) => generation === old && state === 'exited', from);
    return ready;
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** The processes of the generation with this main process, as pids. */
  family(main: number | undefined): number[] {
    return main === undefined ? [] : familyOf(main, allProcessIds()).map(ids => ids.pid);
  }

  /** Notes every process that is below relisten now, for {@link end}. */
  look(): void {
    for (const pid of this.family(this.pid)) this.#seen.set(pid, startTicks(pid) ?? 0);
  }

  /** Tells it to stop, and waits until it has ended. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<End> {
    this.look();
    this.kill(signal);
    return this.end();
  }

  /** Waits until it has ended, and leaves its runtime directory, which is another's too. */
  exit(): Promise<Exit> {
    return withDeadline(this.#ended, () => `relisten did not end:\n${this.transcript()}`);
  }

  /** Waits until it has ended. */
  async end(): Promise<End> {
    const [code, signal] = await this.exit();
    const left = await this.#leftProcesses();
    const files = readdirSync(this.runtime, { recursive: true }).map(String);
    left.push(...files.filter(name => name !== 'relisten').map(name => `file ${name}`));
    rmSync(this.runtime, { recursive: true, force: true });
    return { code, signal, left };
  }

  /** The shells that keep the output going outlive relisten for a moment; see Output. */
  async #leftProcesses(): Promise<string[]> {
    const isLeft = ([pid, ticks]: [number, number]) => startTicks(pid) === ticks && processIds(pid)?.zombie === false;
    const deadline = Date.now() + SETTLE_MS;
    let left = [...this.#seen].filter(isLeft);
    while (left.length > 0 && Date.now() < deadline) {
      await delay(5);
      left = left.filter(isLeft);
    }
    return left.map(([pid]) => `process ${pid} (${commandOf(pid)})`);
  }

  /** For a failing test: ends everything at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) {
      this.look();
      for (const pid of this.#seen.keys()) kill(pid);
      kill(this.pid);
      await this.#ended;
    }
    rmSync(this.runtime, { recursive: true, force: true });
  }

  transcript(): string {
    return [...this.events.map(event => JSON.stringify(event)), ...this.lines].join('\n');
  }

  #read(): void {
    const { stdout, stderr } = this.#child;
    if (!stdout || !stderr) throw new Error('no pipes');
    createInterface({ input: stdout }).on('line', line => this.stdout.push(line));
    createInterface({ input: stderr }).on('line', line => {
      if (line.startsWith('{"at":')) this.events.push(JSON.parse(line) as SuperviseEvent);
      else this.lines.push(line);
      this.#onChange();
    });
  }
}

function setpriv(uid: number, noNewPrivileges: boolean): string[] {
  const identity = uid === 0 ? [] : [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
  const options = noNewPrivileges ? [...identity, '--no-new-privs'] : identity;
  return options.length > 0 ? ['setpriv', ...options] : [];
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

async function withDeadline<T>(promise: Promise<T>, message: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message())), DEADLINE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
