import { createRequire } from 'node:module';
import type * as Prom from 'prom-client';
import { RelistenError } from '../errors.ts';
import type { Counts } from './counts.ts';
import type { Status } from './status.ts';

const STATES = ['starting', 'ready', 'yielding', 'draining'] as const;
const START_BUCKETS_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** What GET /metrics answers, in the text format of Prometheus. */
export class Metrics {
  readonly #prom = loadClient();
  readonly #registry = new this.#prom.Registry();
  readonly #info = this.#gauge('info', 'The supervisor: always 1', ['name', 'version', 'intercept']);
  readonly #up = this.#gauge('start_time_seconds', 'Unix time at which the supervisor started');
  readonly #generation = this.#gauge('generation', 'Number of the generation that is ready, 0 for none');
  readonly #generations = this.#gauge('generations', 'Generations that are not gone', ['state']);
  readonly #connections = this.#gauge('connections', 'Established connections of held listeners', [
    'generation',
    'state',
  ]);
  readonly #waiting = this.#gauge('accept_queue', 'Connections that wait to be accepted', ['address']);
  readonly #limit = this.#gauge('accept_queue_limit', 'How many may wait to be accepted', ['address']);
  readonly #starts = this.#counter('starts_total', 'Starts of generations', ['outcome']);
  readonly #restarts = this.#counter('restart_requests_total', 'Restarts that were asked for');
  readonly #crashes = this.#counter('crashes_total', 'Ready generations that ended by themselves, and not with 0');
  readonly #cut = this.#counter('killed_processes_total', 'Processes killed because they had not ended in time');
  readonly #startSeconds: Prom.Histogram;

  /** Loads prom-client. @throws RelistenError `ERR_NOT_LOADED` where it cannot be loaded */
  constructor() {
    this.#startSeconds = new this.#prom.Histogram({
      name: 'relisten_start_seconds',
      help: 'Time from the spawn to readiness, of starts that became ready',
      buckets: START_BUCKETS_S,
      registers: [this.#registry],
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(status: Status, counts: Counts): Promise<string> {
    this.#set(status);
    this.#count(status, counts);
    return this.#registry.metrics();
  }

  #set({ name, version, way, startedAt, generations, listeners }: Status): void {
    this.#info.set({ name, version, intercept: String(way.intercept) }, 1);
    this.#up.set(startedAt / 1000);
    this.#generation.set(generations.find(each => each.state === 'ready')?.generation ?? 0);
    for (const state of STATES) {
      this.#generations.set({ state }, generations.filter(each => each.state === state).length);
    }
    this.#connections.reset();
    for (const { generation, state, connections } of generations) {
      this.#connections.set({ generation, state }, connections);
    }
    this.#waiting.reset();
    this.#limit.reset();
    for (const { address, queue } of listeners) {
      if (!queue) continue;
      this.#waiting.set({ address }, queue.waiting);
      this.#limit.set({ address }, queue.limit);
    }
  }

  #count({ restarts, crashes }: Status, counts: Counts): void {
    for (const counter of [this.#starts, this.#restarts, this.#crashes, this.#cut]) counter.reset();
    this.#starts.inc({ outcome: 'ready' }, counts.ready);
    this.#starts.inc({ outcome: 'failed' }, counts.failed);
    this.#restarts.inc(restarts);
    this.#crashes.inc(crashes);
    this.#cut.inc(counts.cut);
    for (const ms of counts.takeStarts()) this.#startSeconds.observe(ms / 1000);
  }

  #gauge<Label extends string>(name: string, help: string, labelNames: Label[] = []): Prom.Gauge<Label> {
    return new this.#prom.Gauge({ name: `relisten_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[] = []): Prom.Counter<Label> {
    return new this.#prom.Counter({ name: `relisten_${name}`, help, labelNames, registers: [this.#registry] });
  }
}

const load = createRequire(import.meta.url);

/**
 * Two megabytes and 20 ms that few ask for, so only when they are asked for, which may be while `npm install` replaces our
 * files. What import() fails to load it never loads again (and Node 20 may end by it); what require() fails to load it does.
 */
function loadClient(): typeof Prom {
  try {
    return load('prom-client');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n', 1)[0] : String(cause);
    const advice = 'are its files being replaced? Ask again, or start relisten anew';
    throw new RelistenError(`Cannot load what measures: ${why}; ${advice}`, {
      code: 'ERR_NOT_LOADED',
      op: 'load',
      cause,
    });
  }
}
