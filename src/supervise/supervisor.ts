import { EventEmitter } from 'node:events';
import { type Address, formatAddress, type SocketAddress } from '../address.ts';
import { RelistenError } from '../errors.ts';
import { hide } from '../kernel/deaf.ts';
import { failureOf } from '../kernel/errno.ts';
import { HangUps } from '../kernel/hang-up.ts';
import { keepHeapSmall } from '../kernel/heap.ts';
import { Poller } from '../kernel/poll.ts';
import { ownersOf } from '../kernel/proc-fd.ts';
import type { Adopted } from './adopt.ts';
import { backoffMs, HEALTHY_MS } from './backoff.ts';
import { Binder } from './binder.ts';
import { endRunning } from './ending.ts';
import type { EventFacts, RestartOutcome, SuperviseEvent } from './events.ts';
import { describeExit, exitCode, exitCodeOfFailure } from './exit-code.ts';
import { successorIn } from './family.ts';
import { FirstLook } from './first-look.ts';
import { type ExitStatus, type GenerationState, isFailedFirstStart, meaningOfExit } from './generation.ts';
import { type HeldListener, Holder } from './holder.ts';
import { Launcher } from './launch.ts';
import { leftInTheWay, overlapped, stale, surplus } from './let-go.ts';
import { mendListeners } from './mend.ts';
import type { PortOption, SuperviseOptions } from './options.ts';
import { holdInherited, holdPort } from './ports.ts';
import { type Home, removePrivateDirectory } from './private-directory.ts';
import { Reaper } from './reaper.ts';
import { Requests } from './requests.ts';
import { Running } from './running.ts';
import { SlowStart } from './slow-start.ts';
import { StateFile } from './state-file.ts';
import { watchUnusedPorts } from './unused-port.ts';

/** How relisten itself ends. */
export interface EndStatus {
  /** Exit code for the shell. */
  code: number;
  /** Why it ended by itself; undefined after {@link Supervisor.stop}. */
  reason?: string;
}

/** By then a new process has a core of its own, and it is not ready yet. */
const WRITE_AHEAD_MS = 5;

/**
 * The loop that owns the state. There is at most one generation that is ready and not draining (`current`), and at most
 * one that is starting (`next`); the others drain. Everything happens on this thread, in reaction to one event at a
 * time; what takes time is waited for by callbacks that look at the state again.
 */
export class Supervisor extends EventEmitter<{ event: [SuperviseEvent]; end: [EndStatus] }> {
  readonly options: SuperviseOptions;
  readonly #poller = new Poller();
  readonly holder = new Holder(new HangUps(this.#poller, () => this.#mend()));
  readonly #reaper = new Reaper();
  readonly #home: Home;
  readonly #state: StateFile;
  readonly #binder: Binder;
  readonly #launcher: Launcher;
  #current: Running | undefined;
  #next: Running | undefined;
  /** Of the one that is starting, where nobody serves. */
  #look: FirstLook | undefined;
  /** Of those that are on their way out, at most one yields. */
  readonly #leaving = new Set<Running>();
  #slowStart: SlowStart | undefined;
  readonly #requests = new Requests();
  /** The live server of {@link take}, which is not ours to end before another has taken its place. */
  #borrowed: Running | undefined;
  #number = 0;
  #failures = 0;
  /** Whether a generation was ever ready while the one before it was. */
  #hasOverlapped = false;
  /** Number of the generation that was ready last; 0 before the first. */
  #lastReady = 0;
  /** The first that was ready, where it took nobody's place. */
  #first: Running | undefined;
  /** All that is to be held before the first start is. */
  #prepared = false;
  #retry: NodeJS.Timeout | undefined;
  /** Runs while a generation that is ready has yet to prove itself; one, so that it keeps none alive that is gone. */
  #healthy: NodeJS.Timeout | undefined;
  #stopping = false;
  #ended = false;
  readonly #hurry = new AbortController();
  restarts = 0;
  crashes = 0;

  /** @param home emptied at the end */
  constructor(options: SuperviseOptions, home: Home) {
    super();
    this.options = options;
    this.#home = home;
    this.#state = new StateFile(home);
    const emit = (facts: EventFacts) => {
      this.#emit(facts);
      if (facts.type === 'listening') this.#save();
    };
    this.#binder = new Binder({
      holder: this.holder,
      evict: options.evict,
      emit,
      hasServed: ({ generations }, { number }) =>
        [...generations].some(other => other !== number && other <= this.#lastReady),
      makeWayFor: (running, listeners) => this.#makeWayFor(running, listeners),
    });
    this.#launcher = new Launcher(options, home, {
      holder: this.holder,
      poller: this.#poller,
      reaper: this.#reaper,
      binder: this.#binder,
      generations: () => this.generations,
      isOver: () => this.#stopping && !this.isUntaken,
      emit,
      onKept: running => {
        if (running === this.#current) this.#releaseUnseen(overlapped(this.holder.listeners, running.number));
      },
    });
  }

  get name(): string {
    return this.#home.name;
  }

  /** Every generation that is not gone, oldest first. */
  get generations(): Running[] {
    return [...this.#leaving, this.#current, this.#next]
      .filter(running => running !== undefined)
      .sort((a, b) => a.number - b.number);
  }

  get current(): Running | undefined {
    return this.#current;
  }

  /** The process that waits to be the next generation, if any does. */
  get standby(): number | undefined {
    return this.#launcher.standby;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Holds the named ports, and those that were passed, and starts the first generation. Where a supervisor of the same name
   * was killed, what it left goes on, and is replaced by the generation that starts. Listen to `end` before.
   */
  async start(): Promise<RestartOutcome> {
    await this.#prepare(async () => {
      const left = this.#state.load();
      const orphan = left && (await adoption()).adoptOrphan(left, this.holder);
      if (orphan) {
        await this.#adopt(orphan, 'of a relisten that was killed');
        await this.#endLeftBeside(orphan);
      }
      for (const { address } of holdInherited(this.holder))
        this.#emit({ type: 'held', address: formatAddress(address) });
      for (const port of this.options.ports) await this.#hold(port);
    });
    return this.#ask();
  }

  /**
   * Takes over the listener of a live server that was never under relisten, and starts the command in its place. If that
   * fails, the server goes on untouched: {@link abandon} then.
   */
  async take(address: Address): Promise<RestartOutcome> {
    await this.#prepare(async () => {
      const { adoptServer, serviceOf } = await adoption();
      const adopted = await adoptServer(address, this.holder);
      await this.#adopt(adopted, 'that was not started by relisten');
      this.#borrowed = this.#current;
      const service = serviceOf(adopted.pid);
      if (service) this.#emit({ type: 'notice', text: `It belongs to ${service}, which may start it again` });
    });
    return this.#ask();
  }

  async #prepare(work: () => Promise<void>): Promise<void> {
    keepHeapSmall();
    this.#reaper.start();
    try {
      await work();
      this.#prepared = true;
    } catch (error) {
      await this.#close();
      throw error;
    }
  }

  async #hold(port: PortOption): Promise<void> {
    const listener = await holdPort(port, this.holder, this.#binder);
    if (listener) this.#emit({ type: 'held', address: formatAddress(listener.address) });
  }

  async #adopt({ generation, pid, listeners, notices }: Adopted, what: string): Promise<void> {
    const running = await this.#newAdopted(generation, pid);
    for (const listener of listeners) {
      listener.generations.add(generation);
      this.#emit({ type: 'held', address: formatAddress(listener.address) });
    }
    for (const text of notices) this.#emit({ type: 'notice', text });
    this.#number = generation;
    this.#lastReady = generation;
    this.#current = running;
    this.#emit({ type: 'state', generation, state: 'ready', pid, reason: what });
  }

  /** Somebody else has started it, so that its end is not ours to be told. */
  async #newAdopted(generation: number, pid: number): Promise<Running> {
    const { watchEnd } = await adoption();
    const running = this.#newRunning(generation);
    running.pid = pid;
    running.become('ready');
    watchEnd(pid, this.#poller, () => this.#onExit(running, { code: null, signal: null }));
    return running;
  }

  /** Ends the other generations of the supervisor that was killed: the adopted one serves. */
  async #endLeftBeside(adopted: Adopted): Promise<void> {
    const { leftBeside } = await adoption();
    for (const { generation, pid } of leftBeside(adopted, this.#home.directory)) {
      this.#number = Math.max(this.#number, generation); // its number is taken
      const running = await this.#newAdopted(generation, pid);
      const text = `Generation ${generation} was left by a relisten that was killed, too: it is ended`;
      this.#emit({ type: 'notice', text });
      void this.#drain(running);
    }
  }

  /** Whether the live server that is being taken from serves as before. */
  get isUntaken(): boolean {
    return this.#borrowed?.state === 'ready';
  }

  /** Gives a take up: ends what was started, lets go of everything, and leaves the live server as it is. */
  async abandon(end: EndStatus = { code: 1 }): Promise<void> {
    this.#beginToStop();
    const started = this.generations.filter(running => running !== this.#borrowed);
    if (this.#next?.state === 'starting') this.#onFailed(this.#next, new Error('relisten is stopping'));
    await Promise.all(started.map(running => running.gone));
    this.holder.leaveAll();
    await this.#finish(end);
  }

  /**
   * A new generation; a request during a start is answered by the restart that follows it, and one before the first start by
   * that.
   */
  restart(): Promise<RestartOutcome> {
    if (this.#stopping) {
      return Promise.reject(
        new RelistenError('Cannot restart: relisten is stopping', { code: 'ERR_STOPPING', op: 'restart' }),
      );
    }
    this.restarts++;
    return this.#ask();
  }

  /** Nothing is started any more. */
  #beginToStop(): void {
    this.#stopping = true;
    clearTimeout(this.#retry);
    this.#launcher.cancelPreparations();
    this.#slowStart?.end();
    if (!this.isUntaken) this.holder.unwatch();
  }

  /** Ends everything: drains what runs, lets go of the listeners. Asked again, it kills. */
  async stop(): Promise<void> {
    if (this.#stopping) {
      this.#hurry.abort();
      return;
    }
    if (this.#current && this.#current === this.#borrowed) {
      await this.abandon();
      return;
    }
    this.#beginToStop();
    const last = this.#current ?? this.#next;
    const left = this.generations;
    if (this.#next?.state === 'starting') this.#onFailed(this.#next, new Error('relisten is stopping'));
    if (this.#current) void this.#drain(this.#current);
    await Promise.all(left.map(running => running.gone));
    await this.#finish({ code: exitCode(last?.exit) });
  }

  #ask(): Promise<RestartOutcome> {
    const outcome = this.#requests.add(this.#next !== undefined);
    void this.#begin();
    return outcome;
  }

  /** Starts the next generation. */
  async #begin(): Promise<void> {
    if (this.#next || !this.#prepared) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    // Whoever is asked to go next has seen enough of the one before it.
    if (this.#current) this.#slowStart?.end();
    const running = this.#newRunning(++this.#number);
    this.#next = running;
    if (this.options.strategy === 'stop-first' && this.#current) await this.#drain(this.#current);
    if (this.#stopping) return;
    this.#emit({ type: 'state', generation: running.number, state: 'starting' });
    this.#look = this.#current || this.#slowStart ? undefined : new FirstLook(this.holder.listeners);
    try {
      await this.#launcher.launch(running, this.#expected, {
        onSpawned: pid => setTimeout(() => this.#writeAhead(running, pid), WRITE_AHEAD_MS).unref(),
        onExit: exit => this.#onExit(running, exit),
      });
      if (running.state === 'starting') this.#onReady(running);
    } catch (error) {
      if (running.state === 'starting') this.#onFailed(running, error);
    }
  }

  /** Listeners of the generation that was ready last; undefined where none was. */
  get #expected(): HeldListener[] | undefined {
    if (this.#lastReady === 0 && !this.#borrowed) return undefined;
    return this.holder.listeners.filter(one => one.generations.has(this.#lastReady) && !one.debugger);
  }

  /** Writes down what is to be said when it is ready; it runs on our core until we sleep, so not at once. */
  #writeAhead(running: Running, pid: number): void {
    if (running.state !== 'starting') return;
    try {
      this.#state.prepare({ number: running.number, pid }, this.holder.listeners);
      this.#launcher.prepareAnnouncement(running);
    } catch {
      // It is tried again when it is ready, and told of then.
    }
  }

  #newRunning(number: number): Running {
    return new Running(number, text => this.#emit({ type: 'notice', text }));
  }

  #onReady(running: Running): void {
    const old = this.#current;
    if (old) this.#hasOverlapped = true;
    running.become('ready');
    if (this.#lastReady === 0 && !this.#borrowed) this.#first = running;
    this.#look?.end();
    this.#lastReady = running.number;
    this.#next = undefined;
    this.#current = running;
    // Before anybody is told, who may kill us for a test of just this.
    this.#save();
    this.#attempt('Connections are not handed over to it', () => this.#launcher.announce(running));
    this.#emit({ type: 'state', generation: running.number, state: 'ready', pid: running.pid });
    this.#release(surplus(this.holder.listeners, running.number));
    this.#releaseUnseen(overlapped(this.holder.listeners, running.number));
    if (old) void this.#replace(old);
    else this.#slowStart?.begin();
    this.#answer({
      ok: true,
      generation: running.number,
      pid: running.pid ?? 0,
      durationMs: Date.now() - running.startedAt,
    });
    clearTimeout(this.#healthy);
    this.#healthy = setTimeout(() => {
      if (this.#current === running) this.#failures = 0;
    }, HEALTHY_MS).unref();
    this.#releaseStale();
    watchUnusedPorts(running, this.holder, text => this.#emit({ type: 'notice', text }));
    this.#launcher.prepareLater(running, this.#number + 1);
  }

  #onFailed(running: Running, error: unknown, advice = ''): void {
    const reason = running.blocked ?? (error instanceof Error ? error.message : String(error));
    running.become('failed');
    this.#releaseUnseen(leftInTheWay(this.holder.listeners, running.number));
    // It stays `next` until it is gone: who asks meanwhile asks for the one after it.
    void this.#end(running, Math.min(FAILED_GRACE_MS, this.options.drainMs)).then(() => {
      const { exit } = running;
      const why = `${reason}${this.#keepsThePort(running) || advice}`;
      this.#next = undefined;
      this.#emit({ type: 'state', generation: running.number, state: 'failed', pid: running.pid, exit, reason: why });
      for (const { address } of this.#look?.failed() ?? []) this.#emit({ type: 'notice', text: lookedAt(address) });
      const exitCode = exitCodeOfFailure(error, exit);
      this.#answer(failure(running, why, exitCode));
      if (this.#current) this.#launcher.prepareLater(this.#current, this.#number + 1);
      if (!this.#current && !this.#next) this.#startAgain({ code: exitCode, reason });
    });
  }

  /** A program without interception that finds its port in use does not say that it is the one before it that has it. */
  #keepsThePort(failed: Running): string {
    const { interception, output } = failed;
    const saysSo = output?.lastLines.some(line => /EADDRINUSE|address already in use/i.test(line));
    if (interception || !saysSo || !this.#current || this.holder.listeners.length > 0) return '';
    return `; bind(2) is not intercepted here, so generation ${this.#current.number} keeps the port: name it with -p, or take --strategy stop-first`;
  }

  #onExit(running: Running, exit: ExitStatus): void {
    if (exit.code === 0 && running.state === 'ready' && this.#goesOn(running)) return;
    running.exit = exit;
    if (exit.code === 0 && running.state !== 'draining') running.claim(this.#orphansThatListenFor(running));
    const left = running.family().length;
    if (left === 0) running.finish();
    switch (meaningOfExit(running.state, exit, this.#current !== undefined)) {
      case 'failed-start':
        this.#onFailed(running, new Error(describeExit(exit)), this.#adviceFor(exit));
        break;
      case 'done':
        this.#onDone(running, left);
        break;
      case 'crash':
        this.#onCrash(running, exit);
        break;
      case 'over': // whoever ends it waits for the rest of it
    }
  }

  /** A server has replaced itself, as gunicorn, unicorn and hypnotoad do at SIGUSR2. */
  #goesOn(running: Running): boolean {
    const inodes = this.#listenersOf(running).map(({ inode }) => inode);
    const owners = ownersOf(new Set(inodes), () => false);
    const successor = successorIn(running.family(), running.session ?? 0, new Set([...owners.values()].flat()));
    if (successor === undefined) return false;
    const text = `Generation ${running.number} has replaced its process ${running.pid} by ${successor}, and goes on`;
    running.replaceMain(successor);
    this.#reaper.follow(successor, exit => this.#onExit(running, exit));
    this.#save();
    this.#attempt('Connections are not handed over to it', () => {
      this.#launcher.prepareAnnouncement(running);
      this.#launcher.announce(running);
    });
    this.#emit({ type: 'notice', text });
    return true;
  }

  /**
   * A pid file or a lock keeps many a server from running twice (apache exits with 0 then); not one of which two have been
   * ready together.
   */
  #adviceFor({ code }: ExitStatus): string {
    const mayBeThat = code !== null && this.#current && this.#current !== this.#borrowed && !this.#hasOverlapped;
    return mayBeThat ? ' (if it cannot run twice at once: --strategy stop-first)' : '';
  }

  /** Who has a listener of this generation; nobody where there is another one, which may have it too. */
  #orphansThatListenFor(running: Running): number[] {
    if (this.generations.some(other => other !== running)) return [];
    // Passed ones have others as well.
    const listeners = this.#listenersOf(running).filter(({ pinned }) => !pinned);
    if (listeners.length === 0) return [];
    const owners = ownersOf(new Set(listeners.map(({ inode }) => inode)), () => false);
    return [...new Set([...owners.values()].flat())].filter(pid => pid !== process.pid);
  }

  #listenersOf({ number }: Running): HeldListener[] {
    return this.holder.listeners.filter(({ generations }) => generations.has(number));
  }

  #onCrash(running: Running, exit: ExitStatus): void {
    this.crashes++;
    // As if it had never been ready: there is nothing yet that a restart could bring back.
    if (running === this.#first && isFailedFirstStart(exit, Date.now() - running.since)) this.#lastReady = 0;
    this.#leave(running);
    this.#slowStart?.pause();
    if (this.#stopping || this.#next) return;
    const reason = `generation ${running.number} ${describeExit(running.exit)}`;
    this.#startAgain({ code: exitCode(running.exit), reason });
  }

  /** The program says that it is finished: so are we, unless a new generation is on its way. */
  #onDone(running: Running, left: number): void {
    const tooSoon = running.state === 'ready' ? undefined : this.#whatItEndedBefore(running);
    this.#leave(running, tooSoon);
    if (left > 0) this.#emit({ type: 'notice', text: WENT_TO_BACKGROUND });
    if (tooSoon !== undefined) this.#answer(failure(running, tooSoon, 0));
    if (this.#stopping || this.#next) return;
    const end = { code: left > 0 ? 1 : 0 };
    // A change may make a server of it.
    if (this.#lastReady === 0 && this.options.outliveFailedStart) this.#startAgain(end);
    else this.#endWith(end);
  }

  /** Nothing says so of a command that is no server at all, or that was only asked for its version. */
  #whatItEndedBefore(running: Running): string {
    const listened = this.#listenersOf(running).some(({ afterMs }) => afterMs !== undefined);
    const isSeen = running.interception !== undefined && !listened;
    return isSeen ? 'exited with 0 before it listened on anything to hold' : 'exited with 0 before it was ready';
  }

  /** The main process ended by itself: ends what it left behind. */
  #leave(running: Running, reason?: string): void {
    if (this.#current === running) this.#current = undefined;
    if (this.#next === running) this.#next = undefined;
    this.#leaving.add(running);
    this.#become(running, running.state === 'starting' ? 'failed' : 'exited', reason);
    void this.#end(running, this.options.drainMs);
  }

  #endWith(status: EndStatus): void {
    this.#beginToStop();
    void Promise.all(this.generations.map(running => running.gone)).then(() => this.#finish(status));
  }

  /** After a crash or a failed start with nobody left: at once the first time, then with growing pauses. */
  #startAgain(end: EndStatus): void {
    if (this.#stopping || this.#requests.areLeft) return;
    this.#failures++;
    const giveUp = this.#failures >= (this.options.giveUp ?? Number.POSITIVE_INFINITY);
    const neverReady = this.#lastReady === 0;
    // A command that is not there is a slip of the command line, which no change to the program mends.
    const mayMend = this.options.outliveFailedStart && end.code !== 126 && end.code !== 127;
    if (giveUp || (neverReady && !mayMend)) {
      this.#endWith(end);
      return;
    }
    if (neverReady) {
      this.#emit({ type: 'notice', text: 'Waiting for a change, or a restart, to start it again' });
      return;
    }
    const delayMs = backoffMs(this.#failures);
    this.#emit({ type: 'backoff', delayMs, failures: this.#failures });
    this.#retry = setTimeout(() => void this.#begin(), delayMs);
  }

  /** The old generation's end after the new one is ready. */
  async #replace(old: Running): Promise<void> {
    if (this.options.slowStartMs > 0) await this.#yield(old);
    await this.#drain(old);
  }

  /** Resolves when it is to be told to end, or has ended. */
  async #yield(old: Running): Promise<void> {
    const slowStart = new SlowStart(this.options.slowStartMs);
    this.#slowStart = slowStart;
    this.#leaving.add(old);
    this.#become(old, 'yielding');
    await Promise.race([slowStart.over, old.gone]);
    slowStart.end();
    if (this.#slowStart === slowStart) this.#slowStart = undefined;
  }

  /** Signals it, and waits until it is gone. */
  async #drain(running: Running): Promise<void> {
    if (running.state !== 'ready' && running.state !== 'yielding') return running.gone;
    if (running.isGone) {
      this.#leaving.delete(running);
      this.#become(running, 'exited');
      return;
    }
    if (this.#current === running) this.#current = undefined;
    this.#leaving.add(running);
    this.#become(running, 'draining');
    this.#cutOldest();
    await this.#end(running, this.options.drainMs);
    this.#become(running, 'exited');
  }

  #become(running: Running, state: GenerationState, reason?: string): void {
    running.become(state);
    const { number: generation, pid, exit } = running;
    this.#emit({ type: 'state', generation, state, pid, exit, reason });
  }

  /** Signals, waits, kills; resolves when no process of it is left. */
  async #end(running: Running, graceMs: number): Promise<void> {
    const cut = await endRunning(running, {
      signal: this.options.stopSignal,
      graceMs,
      hurry: this.#hurry.signal,
      listeners: () => this.#listenersOf(running),
    });
    this.#leaving.delete(running);
    if (cut > 0) this.#emit({ type: 'cut', generation: running.number, processes: cut });
    this.#releaseStale();
  }

  /** Too many old ones drain at once: the oldest has had the longest time. */
  #cutOldest(): void {
    const draining = [...this.#leaving].filter(running => running.state === 'draining');
    for (const running of draining.slice(0, Math.max(0, draining.length - this.options.maxDraining))) {
      const cut = running.signalAll('SIGKILL');
      this.#emit({ type: 'cut', generation: running.number, processes: cut });
    }
  }

  /** Lets go of listeners that no living generation listens on, once a ready one shows which it wants. */
  #releaseStale(): void {
    if (!this.#current || this.#next || this.#stopping) return;
    const alive = new Set(this.generations.filter(running => !running.isGone).map(running => running.number));
    this.#release(stale(this.holder.listeners, alive));
  }

  /** Lets go of them in a moment in which a process may still have them: it serves who waits there, and nobody new comes. */
  #releaseUnseen(listeners: readonly HeldListener[]): void {
    for (const { fd } of listeners) failureOf(() => hide(fd));
    this.#release(listeners);
  }

  #release(listeners: readonly HeldListener[]): void {
    for (const listener of listeners) {
      this.holder.release(listener);
      const isLast = this.holder.group(listener.key).length === 0;
      this.#emit({ type: 'released', address: formatAddress(listener.address), isLast });
    }
    if (listeners.length > 0) this.#save();
  }

  #mend(): void {
    mendListeners(this.holder, text => this.#emit({ type: 'notice', text }));
  }

  /**
   * Makes again what was removed of what it has at home, for its generations and for the next supervisor.
   *
   * @returns whether anything was missing
   * @throws the file system's error
   */
  restoreHome(): boolean {
    const wasMissing = this.#launcher.restore(this.#current);
    const { number, pid } = this.#current ?? {};
    if (number === undefined || pid === undefined || this.#state.exists) return wasMissing;
    this.#state.save({ number, pid }, this.holder.listeners);
    return true;
  }

  /** Writes down what the next supervisor must know if this one is killed. */
  #save(): void {
    const { number, pid } = this.#current ?? {};
    if (number === undefined || pid === undefined) return;
    const without = 'If relisten were killed now, the next one would not find the server';
    this.#attempt(without, () => this.#state.save({ number, pid }, this.holder.listeners));
  }

  /** What is written at home can be done without: a full disk ends no server. @param without what is the worse for it */
  #attempt(without: string, work: () => void): void {
    if (!this.#home.isIntact) return;
    try {
      work();
    } catch (error) {
      this.#emit({ type: 'notice', text: `${without}: ${error instanceof Error ? error.message : String(error)}` });
    }
  }

  /** A starting generation wants an address that held listeners of another shape block: the old one must go first. */
  async #makeWayFor(running: Running, listeners: HeldListener[]): Promise<void> {
    const shown = listeners.map(listener => formatAddress(listener.address)).join(', ');
    this.#emit({
      type: 'notice',
      text: `Generation ${running.number} listens on an address that overlaps ${shown}: this restart is stop-first`,
    });
    if (this.#current) await this.#drain(this.#current);
    for (const listener of listeners) this.holder.release(listener);
  }

  #answer(outcome: RestartOutcome): void {
    this.#requests.answer(outcome);
    if (this.#requests.areLeft && !this.#stopping) setImmediate(() => void this.#begin());
  }

  async #finish(status: EndStatus): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#home.isIntact) {
      this.#state.remove();
      removePrivateDirectory(this.#home.directory);
    }
    await this.#close();
    this.emit('end', status);
  }

  async #close(): Promise<void> {
    this.holder.releaseAll();
    await this.#launcher.close();
    this.#poller.close();
    this.#reaper.stop();
  }

  #emit(facts: EventFacts): void {
    this.emit('event', { at: Date.now(), ...facts } as SuperviseEvent);
  }
}

/** Most supervisors never adopt anything, and start sooner without. */
const adoption = () => import('./adopt.ts');

const WENT_TO_BACKGROUND =
  'The command went into the background, and is ended: relisten supervises what stays in the foreground (nginx -g "daemon off;")';

function lookedAt(address: SocketAddress): string {
  return `The command looks whether somebody answers at ${formatAddress(address)}: from now on it finds nobody there while it starts alone, and its clients neither`;
}

/** A generation that failed to start has no clients: it gets this long at most to end by itself. */
const FAILED_GRACE_MS = 5_000;

function failure(running: Running, reason: string, exitCode: number): RestartOutcome {
  const { number: generation, exit, startedAt, output } = running;
  return {
    ok: false,
    generation,
    reason,
    exit,
    exitCode,
    stderr: output?.lastLines ?? [],
    durationMs: Date.now() - startedAt,
  };
}
