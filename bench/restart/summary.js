/*
 * What a row comes down to.
 */
import { quantile } from '../goal.js';

/** @typedef {import('../../dist/prove/result.js').LoadResult} LoadResult */
/** What measure.js prints. @typedef {{ rss: number, restarts: import('./measure.js').Restart[], result: LoadResult }} Measured */

/**
 * @typedef {object} Summary
 * @property {string} row
 * @property {string} title
 * @property {string} server
 * @property {string} load
 * @property {boolean} crash the restarts are deaths by SIGKILL
 * @property {number} restarts
 * @property {string[]} trouble restarts that did not come to an end, and why
 * @property {number} requests
 * @property {number} lost
 * @property {Record<string, number>} failures by kind
 * @property {number} closedIdle keep-alive connections that the server closed without a word
 * @property {number} closedAnnounced those that it closed after `Connection: close`
 * @property {number} gapMs the longest time without a good answer
 * @property {number[]} firstAnswerMs from each request to the first answer of the new version, sorted
 * @property {number[]} askedMs the same for somebody who asks again and again on fresh connections, sorted
 * @property {number[]} bootMs the same server alone, started beside it after each restart, sorted
 * @property {number} p99RestartMs of the slowest class, the streamed one apart
 * @property {number} p99SteadyMs
 * @property {number} rss of whatever supervises, in bytes
 * @property {number} lateP99Ms how late the load was
 * @property {number} lateMaxMs
 */

/**
 * One or more measurements of a row as one.
 * @param {{ row: import('./rows.js').Row, load: string, crash: boolean }} what
 * @param {Measured[]} runs
 * @returns {Summary}
 */
export function summarise({ row, load, crash }, runs) {
  const results = runs.map(({ result }) => result);
  const sum = (/** @type {(result: LoadResult) => number} */ of) => results.reduce((so, result) => so + of(result), 0);
  const most = (/** @type {(result: LoadResult) => number} */ of) => Math.max(0, ...results.map(of));
  const restarts = runs.flatMap(run => run.restarts);
  return {
    ...{ row: row.id, title: row.title, server: row.server, load, crash },
    restarts: restarts.length,
    trouble: restarts.flatMap(({ detail }) => detail ?? []),
    requests: sum(({ due }) => due),
    lost: sum(({ failed }) => failed),
    failures: mergeCounts(results.map(({ failures }) => failures)),
    closedIdle: sum(({ closedWhileIdle }) => closedWhileIdle),
    closedAnnounced: sum(({ classes }) => classes.reduce((so, one) => so + one.closedAnnounced, 0)),
    gapMs: most(({ gap }) => gap.ms),
    firstAnswerMs: runs.flatMap(firstAnswers).toSorted((a, b) => a - b),
    askedMs: restarts.flatMap(({ askedMs }) => askedMs ?? []).toSorted((a, b) => a - b),
    bootMs: restarts.flatMap(({ bootMs }) => bootMs ?? []).toSorted((a, b) => a - b),
    p99RestartMs: most(result => slowestP99(result, 'restart')),
    p99SteadyMs: most(result => slowestP99(result, 'steady')),
    rss: quantile(runs.map(({ rss }) => rss)),
    lateP99Ms: most(({ generator }) => generator.lateP99Ms),
    lateMaxMs: most(({ generator }) => generator.lateMaxMs),
  };
}

/** @param {Partial<Record<string, number>>[]} all */
function mergeCounts(all) {
  /** @type {Record<string, number>} */
  const total = {};
  for (const [kind, count = 0] of all.flatMap(one => Object.entries(one))) total[kind] = (total[kind] ?? 0) + count;
  return total;
}

/** Each version belongs to the last restart before its first answer; the first of them counts. @param {Measured} run */
function firstAnswers({ restarts, result }) {
  return restarts.flatMap(({ at }, index) => {
    const next = restarts[index + 1]?.at ?? Number.POSITIVE_INFINITY;
    const born = result.generations.find(({ firstAnswer }) => firstAnswer > at && firstAnswer < next);
    return born ? [born.firstAnswer - at] : [];
  });
}

/** @param {LoadResult} result @param {'restart' | 'steady'} phase */
function slowestP99({ classes }, phase) {
  return Math.max(...classes.filter(({ kind }) => kind !== 'slow').map(one => one.phases[phase].latency.p99));
}
