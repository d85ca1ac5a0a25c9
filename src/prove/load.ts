import type { Address } from '../address.ts';
import { invalidArgument } from '../errors.ts';
import type { Arrival, Client, Observer } from './arrival.ts';
import { Arrivals, countedFrom } from './arrivals.ts';
import { type ClassOptions, type ClassPlan, planClass } from './classes.ts';
import { openClient } from './clients/open.ts';
import type { GenerationMark } from './clients/request.ts';
import { LoadRecord } from './record.ts';
import { type LoadResult, PHASES, type Phase } from './result.ts';
import { rounded } from './samples.ts';
import { parseTarget } from './target.ts';

/** What to drive, and how. */
export interface LoadOptions {
  /** `http://127.0.0.1:3000`, or an address. A name is looked up for every connection; give an IP address. */
  target: string | number | Address;
  classes: ClassOptions[];
  /** Not answered this long after it was due, a request has failed. 10,000 ms by default. */
  timeoutMs?: number;
  /** How an answer names the version of the server; the header `x-generation` by default. */
  generation?: GenerationMark;
  /** Cuts everything at once; what was in flight counts as abandoned. */
  signal?: AbortSignal;
}

/** How a load fares while it runs. */
export interface LoadProgress {
  /** Milliseconds since the load started. */
  at: number;
  due: number;
  ok: number;
  failed: number;
  closedWhileIdle: number;
  /** The versions of the server that have answered, in order of their first answer. */
  generations: string[];
}

/** A load that runs. */
export interface Load {
  /** Unix time in milliseconds. */
  readonly startedAt: number;
  /**
   * Says what is going on from now on; it begins as `steady`. A request belongs to `restart` if any part of the time
   * from when it was due to its outcome does, else to the phase in which it was due.
   */
  phase(phase: Phase): void;
  progress(): LoadProgress;
  /**
   * Ends the arrivals, waits until every request has its outcome (at most `timeoutMs`), closes all connections.
   * A second call returns the same promise.
   */
  stop(): Promise<LoadResult>;
}

const SWEEP_MS = 20;

/**
 * Starts a load from this process's own event loop: what holds the loop up delays the load, and the result says how
 * much (`generator`). `startLoadThread` keeps it apart.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`
 */
export function startLoad(options: LoadOptions): Load {
  const timeoutMs = options.timeoutMs ?? 10_000;
  if (!(timeoutMs > 0 && timeoutMs <= 3_600_000)) {
    throw invalidArgument('timeoutMs', timeoutMs, 'more than 0 and at most 3,600,000 milliseconds');
  }
  if (options.classes.length === 0) throw invalidArgument('classes', '[]', 'at least one class of clients');
  const plans = options.classes.map(planClass);
  const names = new Set(plans.map(plan => plan.name));
  if (names.size < plans.length) throw invalidArgument('classes', [...names].join(', '), 'a different name for each');
  return new RunningLoad(options, plans, timeoutMs);
}

/** A class at work: when its next requests are due, who takes them, and who is told. */
interface Lane {
  arrivals: Arrivals;
  observer: Observer;
  client: Client;
}

class RunningLoad implements Load {
  readonly startedAt = performance.timeOrigin + performance.now();
  readonly #zero = performance.now();
  readonly #loop = performance.eventLoopUtilization();
  readonly #timeoutMs: number;
  readonly #target: string;
  readonly #record: LoadRecord;
  readonly #lanes: Lane[];
  /** In order of their deadlines, since all have the same timeout. */
  readonly #pending = new Map<Arrival, Observer>();
  #phase: Phase = 'steady';
  /** When the last restart ended: Infinity during one, -Infinity before the first. */
  #restartedUntil = Number.NEGATIVE_INFINITY;
  #tick: NodeJS.Timeout | undefined;
  readonly #sweep: NodeJS.Timeout;
  #stopped: Promise<LoadResult> | undefined;
  #closed = false;
  #onIdle: (() => void) | undefined;

  constructor(options: LoadOptions, plans: ClassPlan[], timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#target = parseTarget(options.target).authority;
    this.#record = new LoadRecord(plans);
    this.#lanes = plans.map((plan, index) => {
      const target = parseTarget(plan.target ?? options.target);
      const observer = this.#observe(index);
      const client = openClient(plan, target, observer, options.generation ?? {});
      return { arrivals: new Arrivals(plan.rate), observer, client };
    });
    this.#sweep = setInterval(() => this.#expire(), SWEEP_MS);
    this.#schedule();
    if (options.signal?.aborted) this.#abort();
    options.signal?.addEventListener('abort', () => this.#abort(), { once: true });
  }

  phase(phase: Phase): void {
    if (!PHASES.includes(phase)) throw invalidArgument('phase', phase, PHASES.join(', '));
    if (phase === 'restart') this.#restartedUntil = Number.POSITIVE_INFINITY;
    else if (this.#phase === 'restart') this.#restartedUntil = this.#now();
    this.#phase = phase;
    this.#record.phases.push({ at: this.#now(), phase });
  }

  progress(): LoadProgress {
    const { due, ok, failed, closedWhileIdle } = this.#record;
    return { at: this.#now(), due, ok, failed, closedWhileIdle, generations: this.#record.generations() };
  }

  stop(): Promise<LoadResult> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<LoadResult> {
    clearTimeout(this.#tick);
    this.#tick = undefined;
    const endedAt = this.#now();
    if (!this.#closed && this.#pending.size > 0) await new Promise<void>(resolve => (this.#onIdle = resolve));
    this.#close();
    return {
      ...this.#record.result(endedAt),
      target: this.#target,
      startedAt: this.startedAt,
      timeoutMs: this.#timeoutMs,
      generator: { ...this.#record.lateness(), busyMs: rounded(performance.eventLoopUtilization(this.#loop).active) },
    };
  }

  #abort(): void {
    clearTimeout(this.#tick);
    this.#close();
    this.#onIdle?.();
  }

  /** From here on nothing is observed any more. */
  #close(): void {
    this.#closed = true;
    clearInterval(this.#sweep);
    for (const { client } of this.#lanes) client.close();
  }

  #now(): number {
    return performance.now() - this.#zero;
  }

  #schedule(): void {
    const next = Math.min(...this.#lanes.map(({ arrivals }) => arrivals.next));
    this.#tick = setTimeout(() => this.#takeDue(), Math.max(1, next - this.#now()));
  }

  #takeDue(): void {
    for (const [index, lane] of this.#lanes.entries()) {
      while (lane.arrivals.next <= this.#now()) this.#begin(index, lane, lane.arrivals.take());
    }
    this.#schedule();
  }

  #begin(index: number, { client, observer }: Lane, due: number): void {
    const taken = this.#now();
    const arrival: Arrival = {
      due,
      from: countedFrom(due, taken),
      deadline: due + this.#timeoutMs,
      phase: this.#phase,
      stage: 'queued',
      reused: false,
      settled: false,
      giveUp: undefined,
    };
    this.#record.begin(index, taken - due);
    this.#pending.set(arrival, observer);
    client.begin(arrival);
  }

  #observe(index: number): Observer {
    return {
      succeed: (arrival, generation) => {
        if (!this.#settle(arrival)) return;
        const at = this.#now();
        this.#record.succeed(index, arrival.phase, at, at - arrival.from, generation);
      },
      fail: (arrival, seen) => {
        if (this.#settle(arrival)) this.#record.fail(index, arrival, arrival.due, this.#now(), seen);
      },
      count: what => {
        if (!this.#closed) this.#record.count(index, what);
      },
    };
  }

  /** True the first time; an outcome that comes after the deadline, or after the end, is none. */
  #settle(arrival: Arrival): boolean {
    if (arrival.settled || this.#closed) return false;
    arrival.settled = true;
    if (this.#restartedUntil >= arrival.due) arrival.phase = 'restart';
    this.#pending.delete(arrival);
    if (this.#pending.size === 0) this.#onIdle?.();
    return true;
  }

  #expire(): void {
    const now = this.#now();
    const late: Arrival[] = [];
    for (const [arrival, observer] of this.#pending) {
      if (arrival.deadline > now) break;
      late.push(arrival);
      observer.fail(arrival, { kind: 'timeout', detail: `no whole response after ${this.#timeoutMs} ms` });
    }
    // After all are settled: a connection that comes free must not take up one that is too late as well.
    for (const arrival of late) arrival.giveUp?.();
  }
}
