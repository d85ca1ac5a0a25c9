import type { Proof } from './proof.ts';
import { firstAnswers } from './restarts.ts';
import { type ClassResult, FAILURE_KINDS, type Latency, type LoadResult, PHASES } from './result.ts';
import { count } from './verdict.ts';

/** What a word of the report is, for whoever paints it. */
export type Tone = 'good' | 'bad' | 'dim' | 'strong';

type Paint = (tone: Tone, text: string) => string;

/**
 * The report for a terminal: lines, without a newline at the end.
 *
 * @param paint colours a word; by default nothing is coloured
 */
export function proofReport(proof: Proof, paint: Paint = (_tone, text) => text): string[] {
  const { load, verdict } = proof;
  const word = verdict.ok ? paint('good', 'PASSED') : paint('bad', 'FAILED');
  return [
    ...table(load, paint),
    '',
    ...facts(proof).map(([name, value]) => `${paint('dim', name.padEnd(NAME_WIDTH))}${value}`),
    '',
    `${word}  ${verdict.reason}`,
  ];
}

const NAME_WIDTH = 26;

/** What is true of the whole run, by name. */
function facts({ load, restarts, leftOut }: Proof): [string, string][] {
  const { generator } = load;
  const first = firstAnswers(restarts);
  const failures = FAILURE_KINDS.filter(kind => load.failures[kind]).map(
    kind => `${kind} ${count(load.failures[kind] ?? 0)}`,
  );
  const byPhase = PHASES.map(phase => `${phase} ${count(sum(load.classes, one => one.phases[phase].failed))}`);
  return [
    ['failures', failures.length > 0 ? `${failures.join(', ')} (${byPhase.join(', ')})` : 'none'],
    ['closed while idle', `${count(load.closedWhileIdle)} connections`],
    ...(first
      ? [
          [
            'first answer of the new',
            `${ms(first.median)} after the request (${ms(first.min)} to ${ms(first.max)})`,
          ] as [string, string],
        ]
      : []),
    ['longest gap', `${ms(load.gap.ms)} without a good answer`],
    ['versions that answered', load.generations.length > 0 ? count(load.generations.length) : 'the answers do not say'],
    ...leftOut.map(one => ['left out', `${one.class}: ${one.why}`] as [string, string]),
    ['this load was late by', `${ms(generator.lateP99Ms)} (p99), ${ms(generator.lateMaxMs)} at most`],
  ];
}

/** A row for each class: its counts, and its latency in steady times and during restarts. */
function table(load: LoadResult, paint: Paint): string[] {
  const head = ['', 'requests', 'failed', 'idle closed', 'p50', 'p99', 'max', 'p50', 'p99', 'max'];
  const rows = load.classes.map(one => [
    one.name,
    count(one.due),
    count(one.failed),
    one.connections === undefined ? '-' : count(one.closedWhileIdle),
    ...latencyCells(one.phases.steady),
    ...latencyCells(one.phases.restart),
  ]);
  const total = ['all', count(load.due), count(load.failed), count(load.closedWhileIdle), '', '', '', '', '', ''];
  const all = [head, ...rows, ...(rows.length > 1 ? [total] : [])];
  const widths = head.map((_, column) => Math.max(...all.map(row => row[column]?.length ?? 0)));
  const line = (row: string[]) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)));
  const group = (from: number, title: string) => {
    const width = widths.slice(from, from + 3).reduce((so, one) => so + one, 4);
    return title.padStart(width);
  };
  const left = widths.slice(0, 4).reduce((so, one) => so + one, 6);
  return [
    paint('dim', `${' '.repeat(left)}  ${group(4, 'steady, ms')}  ${group(7, 'during restarts, ms')}`.trimEnd()),
    paint('dim', line(head).join('  ')),
    ...all.slice(1).map((row, index) => {
      const cells = line(row);
      const lost = (load.classes[index]?.failed ?? load.failed) > 0;
      if (lost) cells[2] = paint('bad', cells[2] ?? '');
      return cells.join('  ').trimEnd();
    }),
  ];
}

function latencyCells({ ok, latency }: { ok: number; latency: Latency }): string[] {
  if (ok === 0) return ['-', '-', '-'];
  return [latency.p50, latency.p99, latency.max].map(one => digits(one));
}

function sum(classes: ClassResult[], of: (one: ClassResult) => number): number {
  return classes.reduce((so, one) => so + of(one), 0);
}

/** Milliseconds with the digits that mean something. */
export function digits(value: number): string {
  return value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : count(Math.round(value));
}

/** Milliseconds with their unit. */
export function ms(value: number): string {
  return `${digits(value)} ms`;
}
