import { signalProcess } from '../kernel/pidfd.ts';
import { allProcessIds, descendants, type ProcessIds } from '../kernel/process.ts';
import { environmentOf } from '../kernel/procfs.ts';
import { familyOf, isWrapper, stopTargets } from './family.ts';
import { type ExitStatus, type GenerationState, isAlive, mayBecome } from './generation.ts';
import type { Interception } from './intercept.ts';
import type { Output } from './output.ts';

/** A generation that was started: its processes, and what relisten holds for their sake. */
export class Running {
  readonly number: number;
  readonly startedAt = Date.now();
  state: GenerationState = 'starting';
  /** When it entered its state, Unix time in ms. */
  since = Date.now();
  /** Of the main process; undefined until it is spawned. */
  pid: number | undefined;
  /** Settles when there is a process to end, or will never be one. */
  spawning: Promise<void> | undefined;
  exit: ExitStatus | undefined;
  interception: Interception | undefined;
  output: Output | undefined;
  /** STATUS= of sd_notify(3). */
  status: string | undefined;
  /** Why its bind(2) failed, for whoever asks why it did not start. */
  blocked: string | undefined;
  /** Processes that have called listen(2) while it started. */
  readonly listening = new Set<number>();
  /** Aborts the wait for readiness. */
  readonly starting = new AbortController();
  /** Aborts binds that its processes wait for. */
  readonly over = new AbortController();
  /** Resolves when the main process has ended and no process of the generation is left. */
  readonly gone: Promise<void>;
  readonly #resolveGone: () => void;
  /** Of the process that was spawned, where another one has taken its place. */
  #session: number | undefined;
  readonly #claimed = new Set<number>();
  /** Who got the stop signal. */
  readonly #told = new Set<number>();
  readonly #onNotice: (text: string) => void;
  #isGone = false;

  /** @param onNotice is told, in a sentence, what cannot be done */
  constructor(number: number, onNotice: (text: string) => void = () => {}) {
    this.number = number;
    this.#onNotice = onNotice;
    let resolveGone = () => {};
    this.gone = new Promise(fulfil => {
      resolveGone = fulfil;
    });
    this.#resolveGone = resolveGone;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  get alive(): boolean {
    return isAlive(this.state);
  }

  /** @throws Error where the transition table does not allow it: a bug of the caller */
  become(state: GenerationState): void {
    if (!mayBecome(this.state, state)) {
      throw new Error(`generation ${this.number} cannot become ${state}: it is ${this.state}`);
    }
    this.state = state;
    this.since = Date.now();
    if (state !== 'starting') this.starting.abort();
    if (!isAlive(state)) this.over.abort();
  }

  /** Of its processes, but for those that left it (setsid(2)). */
  get session(): number | undefined {
    return this.#session ?? this.pid;
  }

  /** Another of its processes is the main one from here on. */
  replaceMain(pid: number): void {
    this.#session = this.session;
    this.pid = pid;
  }

  /** Its processes that are left, main first. */
  family(): ProcessIds[] {
    const belongs = (ids: ProcessIds) => ids.sid === this.session || this.#isStray(ids);
    return this.pid === undefined ? [] : familyOf(this.pid, allProcessIds(), belongs);
  }

  /** These belong to it, whatever they look like. */
  claim(pids: Iterable<number>): void {
    for (const pid of pids) this.#claimed.add(pid);
  }

  /**
   * A daemon that lost its parents became our child (see Reaper); what it was started with tells whose it is, unless it has
   * written its title over that (nginx): then what it listens on does.
   */
  #isStray({ pid, ppid }: ProcessIds): boolean {
    if (ppid !== process.pid) return false;
    return this.#claimed.has(pid) || environmentOf(pid).includes(`RELISTEN_GENERATION=${this.number}`);
  }

  /** Sends the stop signal to the server, past the wrappers that started it. */
  signalServer(signal: NodeJS.Signals): void {
    if (this.pid === undefined) return;
    // The tree is enough where its root is alive, and this is on the way of every restart.
    const tree = descendants(this.pid).filter(ids => !ids.zombie);
    const family = tree.length > 0 ? tree : this.family();
    for (const pid of stopTargets(this.pid, family, isWrapper)) this.tell(pid, signal);
  }

  /** Those that the stop signal would go to now, and who have not got it. */
  get untold(): number[] {
    if (this.pid === undefined) return [];
    return stopTargets(this.pid, this.family(), isWrapper).filter(pid => !this.#told.has(pid));
  }

  /** Sends the stop signal to one of its processes. */
  tell(pid: number, signal: NodeJS.Signals): void {
    this.#told.add(pid);
    this.#send(pid, signal);
  }

  /** Sends a signal to every process that is left; answers how many there were. */
  signalAll(signal: NodeJS.Signals): number {
    const family = this.family();
    for (const { pid } of family) this.#send(pid, signal);
    return family.length;
  }

  /** A program that became another user's may not be ours to signal: that ends nothing but is worth a word. */
  #send(pid: number, signal: NodeJS.Signals): void {
    try {
      signalProcess(pid, signal);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#onNotice(`Cannot end pid ${pid} of generation ${this.number}: ${why}`);
    }
  }

  /** Not even SIGKILL has ended it: the kernel has not let go of it (state D), or it is not ours to signal. Answers how many are left. */
  giveUp(): number {
    const left = this.family();
    const who = left.map(({ pid, state }) => `pid ${pid} (state ${state})`).join(', ') || `pid ${this.pid}`;
    this.#onNotice(`Generation ${this.number} does not end, and is waited for no longer: ${who}`);
    this.finish();
    return left.length;
  }

  /** Nobody is left: lets go of everything held for its sake. */
  finish(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.interception?.retire();
    void (this.output?.close() ?? Promise.resolve()).then(this.#resolveGone);
  }
}
