import type { Proof } from '../../src/prove/proof.ts';
import type { ClassResult, Failure, LoadResult, PhaseResult, TimelinePoint } from '../../src/prove/result.ts';

const phase = (failed: number, p99: number): PhaseResult => ({
  due: 100,
  ok: 100 - failed,
  failed,
  failures: failed > 0 ? { eof: failed } : {},
  latency: { p50: 0.4, p90: 1.2, p99, max: p99 * 2 },
});

const points: TimelinePoint[] = Array.from({ length: 60 }, (_, index) => ({
  at: index * 50,
  ok: index === 30 ? 0 : 5,
  failed: index === 30 ? 2 : 0,
  p50: 0.4,
  p99: 2 + (index % 7),
  max: 4 + (index % 11),
}));

const one: ClassResult = {
  ...phase(2, 3),
  name: 'keep-alive-get',
  kind: 'keep-alive-get',
  rate: 100,
  connections: 20,
  due: 300,
  ok: 298,
  abandoned: 0,
  opened: 60,
  closedWhileIdle: 38,
  closedAnnounced: 0,
  unsolicited: 0,
  gap: { ms: 61, at: 1490 },
  phases: { steady: phase(0, 3), restart: phase(2, 12), after: phase(0, 4) },
};

const lost: Failure[] = [1501, 1502].map(at => ({
  due: at - 2,
  at,
  class: one.name,
  kind: 'eof',
  stage: 'request',
  phase: 'restart',
  reused: true,
}));

const load: LoadResult = {
  target: '127.0.0.1:3000',
  startedAt: Date.UTC(2026, 0, 2, 3, 4, 5),
  durationMs: 3000,
  timeoutMs: 10_000,
  due: 300,
  ok: 298,
  failed: 2,
  failures: { eof: 2 },
  closedWhileIdle: 38,
  gap: { ms: 61, at: 1490 },
  phases: [
    { at: 0, phase: 'steady' },
    { at: 1000, phase: 'restart' },
    { at: 1600, phase: 'after' },
  ],
  classes: [one],
  generations: [
    { generation: '1', answers: 150, firstAnswer: 3, lastAnswer: 1498 },
    { generation: '2', answers: 148, firstAnswer: 1084, lastAnswer: 2999 },
  ],
  lost,
  timeline: { intervalMs: 50, classes: { [one.name]: points } },
  generator: { lateP99Ms: 1.4, lateMaxMs: 3, busyMs: 120 },
};

/** A proof in which one restart lost two requests. */
export const lossyProof: Proof = {
  relisten: '0.1.0',
  subject: { target: '127.0.0.1:3000', command: 'node "app".js <dev>', restart: 'kill -HUP 42 && true' },
  leftOut: [{ class: 'slow', why: 'GET /slow answers 404' }],
  restarts: [{ at: 1000, endedAt: 1590, ok: true, generation: '2', firstAnswerMs: 84 }],
  events: [
    { at: -200, generation: '1', state: 'starting' },
    { at: -20, generation: '1', state: 'ready' },
    { at: 1001, generation: '2', state: 'starting' },
    { at: 1080, generation: '2', state: 'ready' },
    { at: 1081, generation: '1', state: 'draining' },
    { at: 1580, generation: '1', state: 'exited' },
  ],
  load,
  verdict: { ok: false, exitCode: 1, failed: 2, allowed: 0, reason: '2 of 300 requests failed' },
};

/** The same run without its losses. */
export const flawlessProof: Proof = {
  ...lossyProof,
  load: {
    ...load,
    ok: 300,
    failed: 0,
    failures: {},
    lost: [],
    classes: [{ ...one, ok: 300, failed: 0, failures: {}, phases: { ...one.phases, restart: phase(0, 12) } }],
  },
  verdict: { ok: true, exitCode: 0, failed: 0, allowed: 0, reason: 'None of 300 requests failed in 1 restart' },
};
