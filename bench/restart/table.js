/*
 * The summaries as Markdown: a table for each load, and one for crashes.
 */
import { quantile } from '../goal.js';

/** @typedef {import('./summary.js').Summary} Summary */

/** @param {Summary[]} all */
export function tables(all) {
  const loads = [...new Set(all.map(({ load }) => load))];
  return loads
    .flatMap(load => {
      const some = all.filter(one => one.load === load);
      const [graceful, crashes] = [some.filter(one => !one.crash), some.filter(one => one.crash)];
      return [
        ...(graceful.length > 0 ? [`Load \`${load}\`, restarts:\n\n${table(GRACEFUL, graceful)}`] : []),
        ...(crashes.length > 0 ? [`Load \`${load}\`, SIGKILL:\n\n${table(CRASH, crashes)}`] : []),
      ];
    })
    .join('\n');
}

/** @typedef {{ title: string, of: (one: Summary) => string }} Column */

/** @type {Column[]} */
const HEAD = [
  { title: 'way', of: ({ title }) => title },
  { title: 'server', of: ({ server }) => server },
];

/** @type {Column[]} */
const GRACEFUL = [
  ...HEAD,
  { title: 'restarts', of: ({ restarts }) => String(restarts) },
  { title: 'lost per 1,000 restarts', of: one => whole((one.lost * 1000) / one.restarts) },
  { title: 'of them', of: one => kinds(one, 1000 / one.restarts) },
  { title: 'connections closed, a restart', of: one => closed(one) },
  { title: 'longest gap, ms', of: ({ gapMs }) => whole(gapMs) },
  { title: 'new version answers, ms', of: ({ firstAnswerMs }) => middle(firstAnswerMs) },
  { title: 'p99 in restarts (steady), ms', of: one => `${short(one.p99RestartMs)} (${short(one.p99SteadyMs)})` },
  { title: 'supervisor, MiB', of: ({ rss }) => whole(rss / 1048576) },
  { title: 'load late by (p99), ms', of: ({ lateP99Ms }) => short(lateP99Ms) },
];

/** @type {Column[]} */
const CRASH = [
  ...HEAD,
  { title: 'kills', of: ({ restarts }) => String(restarts) },
  { title: 'lost, a kill', of: one => (isLeftDown(one) ? 'all from then on' : short(one.lost / one.restarts)) },
  { title: 'of them', of: one => (isLeftDown(one) ? 'refused' : kinds(one, 1 / one.restarts)) },
  { title: 'longest gap, ms', of: one => (isLeftDown(one) ? 'stays down' : whole(one.gapMs)) },
  { title: 'another process answers, ms', of: one => (isLeftDown(one) ? 'never' : middle(one.firstAnswerMs)) },
];

/** Nobody started it again. @param {Summary} one */
function isLeftDown({ trouble }) {
  return trouble.length > 0;
}

/** @param {Column[]} columns @param {Summary[]} rows */
function table(columns, rows) {
  const line = (/** @type {string[]} */ cells) => `| ${cells.join(' | ')} |\n`;
  const head = line(columns.map(({ title }) => title)) + line(columns.map(() => '---'));
  return head + rows.map(one => line(columns.map(({ of }) => of(one)))).join('');
}

/** @param {Summary} one @param {number} scale */
function kinds({ failures }, scale) {
  const some = Object.entries(failures).toSorted(([, one], [, other]) => other - one);
  return some.map(([kind, count]) => `${kind} ${short(count * scale)}`).join(', ') || 'none';
}

/** @param {Summary} one */
function closed({ closedIdle, closedAnnounced, restarts }) {
  const announced = closedAnnounced > 0 ? ` + ${short(closedAnnounced / restarts)} announced` : '';
  return `${short(closedIdle / restarts)}${announced}`;
}

/** @param {number[]} sorted */
function middle(sorted) {
  return sorted.length === 0 ? 'never' : whole(quantile(sorted));
}

/** @param {number} value */
function whole(value) {
  return Math.round(value).toLocaleString('en');
}

/** @param {number} value */
function short(value) {
  return value >= 100 ? whole(value) : String(Number(value.toPrecision(2)));
}
