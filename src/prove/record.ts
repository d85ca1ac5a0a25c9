import type { Arrival, ConnectionCount } from './arrival.ts';
import type { ClassPlan } from './classes.ts';
import type { Seen } from './failure.ts';
import {
  type ClassResult,
  type Failure,
  type FailureKind,
  type GenerationResult,
  type LoadResult,
  MAX_FAILURES_KEPT,
  PHASES,
  type Phase,
  type PhaseResult,
} from './result.ts';
import { gapOf, latencyOf, rounded, Samples } from './samples.ts';
import { timelineOf } from './timeline.ts';

type Failures = Partial<Record<FailureKind, number>>;

/** What is counted of one class as it happens. */
interface ClassCounts {
  due: number;
  failures: Record<Phase, Failures>;
  connections: Record<ConnectionCount, number>;
}

/** Writes down what the clients see, and makes a result of it. Times are milliseconds since the load started. */
export class LoadRecord {
  due = 0;
  ok = 0;
  failed = 0;
  closedWhileIdle = 0;
  readonly phases: { at: number; phase: Phase }[] = [{ at: 0, phase: 'steady' }];
  readonly #classes: ClassPlan[];
  readonly #counts: ClassCounts[];
  readonly #samples = new Samples();
  readonly #lost: Failure[] = [];
  readonly #failedAt: number[][];
  readonly #generations = new Map<string, GenerationResult>();
  readonly #lateness: number[] = [];

  constructor(classes: ClassPlan[]) {
    this.#classes = classes;
    this.#counts = classes.map(() => ({
      due: 0,
      failures: { steady: {}, restart: {}, after: {} },
      connections: { opened: 0, closedWhileIdle: 0, closedAnnounced: 0, unsolicited: 0 },
    }));
    this.#failedAt = classes.map(() => []);
  }

  /** A request fell due and was taken up `late` milliseconds after. */
  begin(classIndex: number, late: number): void {
    this.due += 1;
    const counts = this.#counts[classIndex];
    if (counts) counts.due += 1;
    this.#lateness.push(late);
  }

  succeed(classIndex: number, phase: Phase, at: number, latency: number, generation: string | undefined): void {
    this.ok += 1;
    this.#samples.add(at, latency, classIndex, PHASES.indexOf(phase));
    if (generation === undefined) return;
    const seen = this.#generations.get(generation);
    if (seen) {
      seen.answers += 1;
      seen.lastAnswer = rounded(at);
    } else {
      this.#generations.set(generation, { generation, answers: 1, firstAnswer: rounded(at), lastAnswer: rounded(at) });
    }
  }

  fail(classIndex: number, arrival: Arrival, due: number, at: number, seen: Seen): void {
    this.failed += 1;
    const failures = this.#counts[classIndex]?.failures[arrival.phase];
    if (failures) failures[seen.kind] = (failures[seen.kind] ?? 0) + 1;
    this.#failedAt[classIndex]?.push(at);
    if (this.#lost.length === MAX_FAILURES_KEPT) return;
    const { stage, phase, reused } = arrival;
    const name = this.#classes[classIndex]?.name ?? '';
    this.#lost.push({ due: rounded(due), at: rounded(at), class: name, stage, phase, reused, ...seen });
  }

  count(classIndex: number, what: ConnectionCount): void {
    const counts = this.#counts[classIndex];
    if (counts) counts.connections[what] += 1;
    if (what === 'closedWhileIdle') this.closedWhileIdle += 1;
  }

  /** The versions that have answered so far, in order of their first answer. */
  generations(): string[] {
    return [...this.#generations.keys()];
  }

  /** Everything but what only the load itself knows. */
  result(durationMs: number): Omit<LoadResult, 'target' | 'startedAt' | 'timeoutMs' | 'generator'> {
    const classes = this.#classes.map((plan, index) => this.#classResult(plan, index, durationMs));
    return {
      durationMs: rounded(durationMs),
      due: this.due,
      ok: this.ok,
      failed: this.failed,
      failures: sum(classes.map(one => one.failures)),
      closedWhileIdle: this.closedWhileIdle,
      gap: gapOf(this.#samples, durationMs, () => true),
      phases: this.phases.map(({ at, phase }) => ({ at: rounded(at), phase })),
      classes,
      generations: [...this.#generations.values()],
      lost: this.#lost,
      timeline: timelineOf(this.#samples, this.#failedAt, this.#classes, durationMs),
    };
  }

  /** How late the generator took up its requests. */
  lateness(): { lateP99Ms: number; lateMaxMs: number } {
    const { p99, max } = latencyOf(Float32Array.from(this.#lateness));
    return { lateP99Ms: p99, lateMaxMs: max };
  }

  #classResult(plan: ClassPlan, index: number, durationMs: number): ClassResult {
    const phases = {
      steady: this.#phaseResult(index, 'steady'),
      restart: this.#phaseResult(index, 'restart'),
      after: this.#phaseResult(index, 'after'),
    };
    const each = Object.values(phases);
    const total = (of: (phase: PhaseResult) => number) => each.reduce((so, phase) => so + of(phase), 0);
    const { classIndex } = this.#samples;
    const due = this.#counts[index]?.due ?? 0;
    const [ok, failed] = [total(phase => phase.ok), total(phase => phase.failed)];
    return {
      name: plan.name,
      kind: plan.kind,
      rate: plan.rate,
      ...(plan.connections === undefined ? {} : { connections: plan.connections }),
      due,
      ok,
      failed,
      abandoned: due - ok - failed,
      failures: sum(each.map(phase => phase.failures)),
      latency: latencyOf(this.#samples.latencies(at => classIndex[at] === index)),
      ...(this.#counts[index]?.connections ?? { opened: 0, closedWhileIdle: 0, closedAnnounced: 0, unsolicited: 0 }),
      gap: gapOf(this.#samples, durationMs, at => classIndex[at] === index),
      phases,
    };
  }

  #phaseResult(index: number, phase: Phase): PhaseResult {
    const { classIndex, phaseIndex } = this.#samples;
    const wanted = PHASES.indexOf(phase);
    const latencies = this.#samples.latencies(at => classIndex[at] === index && phaseIndex[at] === wanted);
    const failures = this.#counts[index]?.failures[phase] ?? {};
    const failed = Object.values(failures).reduce((so, count) => so + count, 0);
    return {
      due: latencies.length + failed,
      ok: latencies.length,
      failed,
      failures,
      latency: latencyOf(latencies),
    };
  }
}

function sum(all: Failures[]): Failures {
  const total: Failures = {};
  for (const failures of all) {
    for (const kind of Object.keys(failures) as FailureKind[]) {
      total[kind] = (total[kind] ?? 0) + (failures[kind] ?? 0);
    }
  }
  return total;
}
