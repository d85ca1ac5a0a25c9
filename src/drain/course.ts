import type { Server } from 'node:net';
import { setImmediate as nextIteration, setTimeout as pause } from 'node:timers/promises';
import { stopConnectionChecks } from '../kernel/handle.ts';
import { stopAccepting } from './accept.ts';
import type { DrainSettings } from './options.ts';
import type { Draining, DrainPhase, DrainProgress, DrainReport } from './report.ts';
import { Rounds } from './rounds.ts';
import { countedWithout } from './shield.ts';
import { countTimeWait, portsOf } from './time-wait.ts';

/** Progress is told at most this often within a phase. */
const PROGRESS_MS = 100;
/** How often to count connections that no event tells of. */
const LOOK_AGAIN_MS = 20;

/** One drain, from the call to the report. */
export class Course {
  readonly #startedAt: number;
  readonly #servers: readonly Server[];
  readonly #settings: DrainSettings;
  readonly #events: Draining['events'];
  readonly #rounds: Rounds;
  readonly #deadline = new AbortController();
  /** Aborted at the deadline, or when somebody hurries. */
  readonly #time: AbortSignal;
  readonly #delayOver: AbortSignal;
  #phase: DrainPhase = 'not-ready';
  #told = '';

  /**
   * @param startedAt when the drain was asked for: the deadline counts from then
   * @param delayOver the application wants the listeners closed, so that there is no point in waiting
   */
  constructor(
    servers: readonly Server[],
    settings: DrainSettings,
    events: Draining['events'],
    startedAt: number,
    delayOver: AbortSignal,
  ) {
    this.#startedAt = startedAt;
    this.#delayOver = delayOver;
    this.#servers = servers;
    this.#settings = settings;
    this.#events = events;
    this.#rounds = new Rounds(servers, settings, startedAt + settings.deadline);
    const { signal } = this.#deadline;
    this.#time = settings.signal ? AbortSignal.any([signal, settings.signal]) : signal;
  }

  /** Requests are answered between its steps, each of which takes a millisecond or more the first time. */
  async run(): Promise<DrainReport> {
    const deadline = setTimeout(() => this.#deadline.abort(), Math.ceil(this.#settings.deadline - this.#elapsed()));
    const progress = setInterval(() => this.#tell(), PROGRESS_MS);
    const ports = portsOf(this.#servers);
    this.#enter('not-ready');
    await this.#until(this.#notReady());
    this.#enter('stop-accepting');
    this.#rounds.watch();
    await nextIteration();
    await Promise.all(this.#servers.map(server => stopAccepting(server, this.#settings.shared || this.#time.aborted)));
    await this.#until(ask(this.#settings.onStoppedAccepting));
    this.#enter('finishing');
    this.#rounds.begin();
    await this.#until(this.#rounds.over);
    if (this.#time.aborted) {
      this.#enter('cutting');
      this.#rounds.cut();
    }
    await this.#rounds.over;
    await this.#until(Promise.all(this.#servers.map(unseenGone)));
    clearTimeout(deadline);
    clearInterval(progress);
    this.#servers.forEach(stopConnectionChecks);
    const { tally } = this.#rounds;
    const durationMs = this.#elapsed();
    const ended = Object.values(tally.closed).reduce((sum, count) => sum + count, tally.cut.length);
    const timeWait = this.#settings.countTimeWait ? await countTimeWait(ports, durationMs, ended) : undefined;
    this.#enter('done');
    return { durationMs, ...tally, timeWait };
  }

  async #notReady(): Promise<void> {
    await ask(this.#settings.onNotReady);
    // A pause of 0 takes a millisecond: for clients on their way to us, unless others accept them as well.
    if (this.#settings.delay === 0 && this.#settings.shared) return nextIteration();
    const signal = AbortSignal.any([this.#time, this.#delayOver]);
    // It rejects when it is cut short, which is what was wanted.
    if (!signal.aborted) await pause(this.#settings.delay, undefined, { signal }).catch(() => undefined);
  }

  /** Waits for something, but no longer than there is time. */
  async #until(something: Promise<unknown>): Promise<void> {
    if (this.#time.aborted) return;
    let stop: () => void = () => undefined;
    const late = new Promise<void>(done => {
      stop = done;
    });
    this.#time.addEventListener('abort', stop, { once: true });
    await Promise.race([something, late]);
    this.#time.removeEventListener('abort', stop);
  }

  #elapsed(): number {
    return Math.round(performance.now() - this.#startedAt);
  }

  #enter(phase: DrainPhase): void {
    this.#phase = phase;
    this.#tell();
  }

  #tell(): void {
    const state = { phase: this.#phase, ...this.#rounds.open() };
    const told = JSON.stringify(state);
    if (told === this.#told) return;
    this.#told = told;
    const progress: DrainProgress = { elapsedMs: this.#elapsed(), ...state };
    try {
      this.#settings.onProgress?.(progress);
      this.#events.emit('progress', progress);
    } catch (error) {
      // Whoever only looks on must not stop the drain.
      process.emitWarning(error instanceof Error ? error : String(error), 'RelistenWarning');
    }
  }
}

/** What the application does meanwhile must not stop the drain. */
async function ask(callback: (() => unknown) | undefined): Promise<void> {
  try {
    await callback?.();
  } catch (error) {
    process.emitWarning(error instanceof Error ? error : String(error), 'RelistenWarning');
  }
}

/** A connection that Node shows to nobody (unref'd before anyone tracked it) is waited for all the same. */
function unseenGone(server: Server): Promise<void> {
  return new Promise(done => {
    const look = () => {
      server.getConnections((error, count) => {
        if (error || count <= countedWithout(server)) done();
        // It does not keep the process: nor does such a connection.
        else setTimeout(look, LOOK_AGAIN_MS).unref();
      });
    };
    look();
  });
}
