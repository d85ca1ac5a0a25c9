import type { Proof } from '../proof.ts';
import { digits, ms } from '../report.ts';
import { firstAnswers } from '../restarts.ts';
import { FAILURE_KINDS, type Failure, type FailureKind, type PhaseResult } from '../result.ts';
import { count } from '../verdict.ts';
import { element, escaped } from './markup.ts';
import { STYLE } from './style.ts';
import { seconds, timelineChart } from './timeline.ts';

/** More than this many lines of failures say nothing new. */
const FAILURES_SHOWN = 200;

/** What there is to say where the kernel gave no error. */
const TOLD: Partial<Record<FailureKind, string>> = {
  eof: 'the connection ended, without a byte of a response',
  truncated: 'the connection ended inside the response',
};

/** The report as one page that needs nothing else: no script, no font, no picture from anywhere. */
export function proofPage(proof: Proof): string {
  const title = `${count(proof.restarts.length)} restarts of ${proof.subject.target}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped(`relisten prove: ${title}`)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${head(proof, title)}
${tiles(proof)}
<section class="card"><h2>What happened when</h2>
${legend(proof)}
<div class="scroll">${timelineChart(proof)}</div></section>
${classTable(proof)}
${failureTable(proof)}
${footer(proof)}
</main>
</body>
</html>
`;
}

function head({ subject, verdict, load, relisten }: Proof, title: string): string {
  const badge = element('span', { class: `badge ${verdict.ok ? 'ok' : 'lost'}` }, verdict.ok ? 'passed' : 'failed');
  const command = subject.command === undefined ? '' : `<code>${escaped(subject.command)}</code>, `;
  const when = new Date(load.startedAt).toISOString().replace('T', ' ').slice(0, 16);
  return `<header><h1>${escaped(title)}</h1>${badge}</header>
<p class="about">${escaped(verdict.reason)}.<br>${command}restarted by <code>${escaped(subject.restart)}</code>, ${when} UTC,
relisten ${escaped(relisten)}</p>`;
}

function tiles({ load, restarts }: Proof): string {
  const first = firstAnswers(restarts);
  const slowest = (phase: 'steady' | 'restart') =>
    Math.max(...load.classes.filter(({ kind }) => kind !== 'slow').map(one => one.phases[phase].latency.p99), 0);
  const kinds = FAILURE_KINDS.filter(kind => load.failures[kind]).map(
    kind => `${kind} ${count(load.failures[kind] ?? 0)}`,
  );
  const all: [name: string, value: string, more: string, lost?: boolean][] = [
    ['Requests', count(load.due), `in ${seconds(load.durationMs)}`],
    ['Failed', count(load.failed), kinds.join(', ') || 'none of any kind', load.failed > 0],
    ['Closed while idle', count(load.closedWhileIdle), 'keep-alive connections'],
    ['Longest gap', ms(load.gap.ms), `at ${seconds(load.gap.at)}`],
    ['p99 during restarts', ms(slowest('restart')), `steady: ${ms(slowest('steady'))}`],
  ];
  if (first) all.push(['First new answer', ms(first.median), `${ms(first.min)} to ${ms(first.max)} after the request`]);
  const drawn = all.map(
    ([name, value, more, lost]) =>
      `<div class="tile${lost ? ' lost' : ''}"><dt>${name}</dt><dd>${escaped(value)}<small>${escaped(more)}</small></dd></div>`,
  );
  return `<dl class="tiles">${drawn.join('')}</dl>`;
}

function legend({ events, load }: Proof): string {
  const entries: [classes: string, text: string][] = [
    ...(events.length > 0
      ? ([
          ['starting', 'starting'],
          ['ready', 'ready'],
          ...(events.some(({ state }) => state === 'yielding') ? [['yielding', 'yielding']] : []),
          ['draining', 'draining'],
        ] as [string, string][])
      : []),
    ...(events.some(({ state }) => state === 'failed')
      ? ([['failed', 'failed generation']] as [string, string][])
      : []),
    ...(load.failed > 0 ? ([['mark lost-mark', 'failed request']] as [string, string][]) : []),
    ['band', 'restart'],
    ['line p50', 'median latency'],
    ['p99', 'up to p99'],
    ['max', 'slowest'],
  ];
  return `<ul class="legend">${entries.map(([name, text]) => `<li><i class="${name}"></i>${text}</li>`).join('')}</ul>`;
}

function classTable({ load }: Proof): string {
  const latency = ({ ok, latency: { p50, p99, max } }: PhaseResult) =>
    (ok === 0 ? ['-', '-', '-'] : [digits(p50), digits(p99), digits(max)]).map(cell => `<td>${cell}</td>`).join('');
  const failed = (number: number) => `<td${number > 0 ? ' class="bad"' : ''}>${count(number)}</td>`;
  const rows = load.classes.map(
    one => `<tr><td>${escaped(one.name)}</td><td>${count(one.due)}</td>${failed(one.failed)}
<td>${one.connections === undefined ? '-' : count(one.closedWhileIdle)}</td>${latency(one.phases.steady)}${latency(one.phases.restart)}${latency(one.phases.after)}</tr>`,
  );
  const total = `<tr class="all"><td>all</td><td>${count(load.due)}</td>${failed(load.failed)}<td>${count(load.closedWhileIdle)}</td>${'<td></td>'.repeat(9)}</tr>`;
  const head = ['p50', 'p99', 'max'].map(name => `<th>${name}</th>`).join('');
  return `<section class="card"><h2>By class of client</h2><div class="scroll"><table>
<thead><tr><th class="blank" colspan="4"></th><th class="group" colspan="3">steady, ms</th><th class="group" colspan="3">during restarts, ms</th><th class="group" colspan="3">after, ms</th></tr>
<tr><th>class</th><th>requests</th><th>failed</th><th>closed while idle</th>${head.repeat(3)}</tr></thead>
<tbody>${rows.join('')}${rows.length > 1 ? total : ''}</tbody></table></div></section>`;
}

/** Failures that differ in their time alone share a line. */
function failureTable({ load }: Proof): string {
  if (load.failed === 0) return '';
  const groups = new Map<string, Failure[]>();
  for (const one of load.lost) {
    const key = [one.class, one.kind, one.phase, one.stage, one.reused, one.detail].join();
    const alike = groups.get(key);
    if (alike) alike.push(one);
    else groups.set(key, [one]);
  }
  const rows = [...groups.values()].slice(0, FAILURES_SHOWN).map(failureRow);
  const kept = load.failed > load.lost.length ? `, of the first ${count(load.lost.length)}` : '';
  const names = ['times', 'class', 'kind', 'phase', 'how far it had come', 'what the client was told', 'seen'];
  const head = names.map((name, index) => `<th${index > 0 ? ' class="text"' : ''}>${name}</th>`).join('');
  return `<section class="card"><h2>Failed requests${kept}</h2><div class="scroll"><table class="failures">
<thead><tr>${head}</tr></thead><tbody>${rows.join('')}</tbody></table></div></section>`;
}

function failureRow(alike: Failure[]): string {
  const [one] = alike;
  if (!one) return '';
  const [from, to] = [seconds(one.at), seconds(alike.at(-1)?.at ?? one.at)];
  const texts = [one.class, one.kind, one.phase, `${one.stage}${one.reused ? ', reused connection' : ''}`];
  const cells = texts.map(text => `<td class="text">${escaped(text)}</td>`).join('');
  const told = escaped(one.detail ?? one.code ?? TOLD[one.kind] ?? '');
  return `<tr><td>${count(alike.length)}</td>${cells}<td class="wide">${told}</td><td class="text">${from === to ? from : `${from} to ${to}`}</td></tr>`;
}

function footer({ load, leftOut }: Proof): string {
  const out = leftOut.map(one => `${one.class} took no part: ${one.why}. `).join('');
  const { lateP99Ms, lateMaxMs } = load.generator;
  return `<footer><p>${escaped(out)}Requests fall due at a set rate, whatever the server does, and latency counts from when each was due.
Nothing was tried twice. A connection that the server closed between two requests is counted, not failed.
The load itself was late by ${ms(lateP99Ms)} (p99), ${ms(lateMaxMs)} at most; where that is much, the machine was too busy to measure.</p></footer>`;
}
