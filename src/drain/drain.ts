import { EventEmitter } from 'node:events';
import type { Server } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { stopConnectionChecks } from '../kernel/handle.ts';
import { shieldFromClose, stopAccepting } from './accept.ts';
import { type DrainOptions, type DrainSettings, settingsOf } from './options.ts';
import type { Draining, DrainPhase, DrainProgress, DrainReport } from './report.ts';
import { Rounds } from './rounds.ts';
import { type DrainTarget, serversOf } from './targets.ts';
import { watchTimeWait } from './time-wait.ts';

const running = new WeakMap<Server, Draining>();

/** Progress is told at most this often within a phase. */
const PROGRESS_MS = 100;

/**
 * Ends servers well: not ready any more → (delay, still accepting) → stop accepting → finish what is in flight → goodbye
 * → close → at the deadline cut, and report what was cut.
 *
 * @param servers one or any mix of net, tls, http, https, http2, ws and socket.io servers of this process
 * @returns a promise that does not reject. While a drain of all of these servers runs, and afterwards until one of them
 *   listens again, a further call returns the same promise, and its options are not looked at. Servers that are
 *   draining already are left out of a further drain of more.
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`, at once
 *
 * @example
 * process.once('SIGTERM', async () => {
 *   const report = await drain(server, { deadline: 10_000 });
 *   process.exitCode = report.cut.length === 0 ? 0 : 1;
 * });
 */
export function drain(servers: DrainTarget | readonly DrainTarget[], options?: DrainOptions): Draining {
  const given = serversOf(servers);
  const settings = settingsOf(options);
  const fresh = given.filter(server => !running.has(server));
  const [first] = given;
  const known = fresh.length === 0 && first ? running.get(first) : undefined;
  if (known) return known;
  const events: Draining['events'] = new EventEmitter();
  const draining = Object.assign(new Drain(fresh, settings, events).run(), { events });
  for (const server of fresh) {
    running.set(server, draining);
    server.once('listening', () => running.delete(server));
  }
  return draining;
}

/** One drain, from the call to the report. */
class Drain {
  readonly #startedAt = performance.now();
  readonly #servers: readonly Server[];
  readonly #settings: DrainSettings;
  readonly #events: Draining['events'];
  readonly #rounds: Rounds;
  readonly #deadline = new AbortController();
  /** Aborted at the deadline, or when somebody hurries. */
  readonly #time: AbortSignal;
  readonly #delayOver = new AbortController();
  #phase: DrainPhase = 'not-ready';
  #told = '';

  constructor(servers: readonly Server[], settings: DrainSettings, events: Draining['events']) {
    this.#servers = servers;
    this.#settings = settings;
    this.#events = events;
    this.#rounds = new Rounds(servers, settings, this.#startedAt + settings.deadline);
    const { signal } = this.#deadline;
    this.#time = settings.signal ? AbortSignal.any([signal, settings.signal]) : signal;
  }

  async run(): Promise<DrainReport> {
    const deadline = setTimeout(() => this.#deadline.abort(), this.#settings.deadline);
    const progress = setInterval(() => this.#tell(), PROGRESS_MS);
    const timeWait = watchTimeWait(this.#servers);
    const shields = this.#servers.map(server => shieldFromClose(server, () => this.#delayOver.abort()));
    // The caller gets the promise, and can listen to its events, before anything is told.
    await undefined;
    this.#enter('not-ready');
    await this.#until(this.#notReady());
    this.#enter('stop-accepting');
    this.#rounds.watch();
    await Promise.all(this.#servers.map(server => stopAccepting(server, this.#settings.shared || this.#time.aborted)));
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
    for (const remove of shields) remove();
    this.#servers.forEach(stopConnectionChecks);
    this.#enter('done');
    return { durationMs: this.#elapsed(), ...this.#rounds.tally, timeWait: timeWait() };
  }

  async #notReady(): Promise<void> {
    try {
      await this.#settings.onNotReady?.();
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : String(error), 'RelistenWarning');
    }
    const signal = AbortSignal.any([this.#time, this.#delayOver.signal]);
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

/** A connection that Node shows to nobody (unref'd before anyone tracked it) is waited for all the same. */
function unseenGone(server: Server): Promise<void> {
  return new Promise(done => {
    server.getConnections((error, count) => {
      if (error || count === 0) done();
      else server.once('close', done);
    });
  });
}
