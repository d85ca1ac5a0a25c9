import type { Proof } from '../proof.ts';
import { digits } from '../report.ts';
import { type ClassResult, FAILURE_KINDS, type Failure, type FailureKind, type TimelinePoint } from '../result.ts';
import { count } from '../verdict.ts';
import { generationBars } from './bars.ts';
import { element, escaped, hint, px } from './markup.ts';

const WIDTH = 1140;
const LEFT = 176;
const RIGHT = 14;
const BAR = 20;
const ROW = 26;
const LANE = 20;
const PANEL = 76;
const PANEL_GAP = 22;

/** Where a time of the run lies. */
type X = (at: number) => number;

/** One part of the drawing and how much of its height it took. */
interface Part {
  svg: string;
  height: number;
}

/**
 * The run as one drawing with one time axis: restarts as bands through everything, generations as bars,
 * each kind of failure as a row of marks, and beneath them the latency of each class.
 */
export function timelineChart(proof: Proof): string {
  const { load, restarts } = proof;
  const x: X = at => px(LEFT + (at / load.durationMs) * (WIDTH - LEFT - RIGHT));
  let top = 26;
  const parts: string[] = [];
  const place = ({ svg, height }: Part) => {
    parts.push(element('g', { transform: `translate(0 ${top})` }, svg));
    top += height;
  };
  if (proof.events.length > 0) place(generations(proof, x));
  for (const kind of FAILURE_KINDS)
    if (load.failures[kind]) place(failureRow(kind, load.failures[kind] ?? 0, load.lost, x));
  top += PANEL_GAP - 6;
  for (const one of load.classes)
    place(latencyPanel(one, load.timeline.classes[one.name] ?? [], load.timeline.intervalMs, x));
  const bands = restarts.map(({ at, endedAt, ok }, index) =>
    element(
      'rect',
      { class: 'band', x: x(at), y: 22, width: Math.max(1.5, px(x(endedAt) - x(at))), height: top - 30 },
      hint(`restart ${index + 1}: ${seconds(at)}, ${digits(endedAt - at)} ms${ok ? '' : ', failed'}`),
    ),
  );
  const label = `Timeline of ${seconds(load.durationMs)}: generations, failures, latency`;
  const content = `${timeAxis(load.durationMs, x, top - 8)}${bands.join('')}${parts.join('')}`;
  return element('svg', { viewBox: `0 0 ${WIDTH} ${top}`, role: 'img', 'aria-label': label }, content);
}

function timeAxis(durationMs: number, x: X, bottom: number): string {
  const step =
    [500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 120_000, 300_000].find(one => durationMs / one <= 14) ?? 600_000;
  const ticks: string[] = [];
  for (let at = 0; at <= durationMs; at += step) {
    const place = x(at);
    ticks.push(element('line', { class: 'grid', x1: place, x2: place, y1: 22, y2: bottom }));
    ticks.push(element('text', { x: place, y: 13, 'text-anchor': 'middle' }, seconds(at)));
  }
  return ticks.join('');
}

function generations({ events, load }: Proof, x: X): Part {
  const bars = generationBars(events, load.durationMs);
  const rows = Math.max(...bars.map(bar => bar.row), 0) + 1;
  const drawn = bars.map(({ generation, row, stretches }) => {
    const y = row * ROW;
    const pieces = stretches.map(({ state, from, to }) =>
      element(
        'rect',
        { class: state, x: x(from), y, width: Math.max(1.5, px(x(to) - x(from))), height: BAR, rx: 2 },
        hint(`generation ${generation} ${state}: ${seconds(from)} to ${seconds(to)} (${digits(to - from)} ms)`),
      ),
    );
    const ready = stretches.find(({ state }) => state === 'ready');
    const roomy = ready && x(ready.to) - x(ready.from) > 8 * generation.length + 10;
    const name = roomy
      ? element('text', { class: 'inside', x: x(ready.from) + 6, y: y + 14 }, escaped(generation))
      : '';
    return pieces.join('') + name;
  });
  return { svg: rowName('generations', BAR / 2) + drawn.join(''), height: rows * ROW + 6 };
}

function failureRow(kind: FailureKind, total: number, lost: Failure[], x: X): Part {
  const marks = lost
    .filter(failure => failure.kind === kind)
    .map(failure => {
      const place = x(failure.at);
      const what = `${kind} (${failure.code ?? failure.detail ?? failure.stage}), ${failure.class}, ${seconds(failure.at)}`;
      return element('line', { class: 'lost-mark', x1: place, x2: place, y1: 2, y2: LANE - 4 }, hint(what));
    });
  const inAll = element('text', { x: LEFT - 8, y: LANE / 2 + 4, 'text-anchor': 'end' }, count(total));
  return { svg: rowName(kind, LANE / 2) + inAll + marks.join(''), height: LANE };
}

/** The latency of a class over time, on a logarithmic scale of its own: median, p99 and the slowest of each interval. */
function latencyPanel(one: ClassResult, points: TimelinePoint[], intervalMs: number, x: X): Part {
  const answered = points.filter(({ ok }) => ok > 0);
  const low = Math.floor(Math.log10(Math.max(0.01, Math.min(...answered.map(({ p50 }) => p50), 10_000))));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...answered.map(({ max }) => max), 1))));
  const y = (ms: number) => px(PANEL - ((Math.log10(Math.max(ms, 10 ** low)) - low) / (high - low)) * PANEL);
  const middle = (point: TimelinePoint) => x(point.at + intervalMs / 2);
  const grid: string[] = [];
  for (let power = low; power <= high; power += 1) {
    grid.push(element('line', { class: 'grid', x1: LEFT, x2: WIDTH - RIGHT, y1: y(10 ** power), y2: y(10 ** power) }));
    grid.push(element('text', { x: LEFT - 8, y: y(10 ** power) + 4, 'text-anchor': 'end' }, milliseconds(10 ** power)));
  }
  const dots = answered.map(point =>
    element('circle', { class: 'max', cx: middle(point), cy: y(point.max), r: 1.6 }, hint(pointHint(one.name, point))),
  );
  const drawn = runs(answered, Math.max(2 * intervalMs, 4000 / one.rate)).map(run => {
    const line = run.map(point => `${middle(point)},${y(point.p50)}`);
    const over = run.map(point => `${middle(point)},${y(point.p99)}`);
    return (
      element('polygon', { class: 'p99', points: [...over, ...line.toReversed()].join(' ') }) +
      element('polyline', { class: 'p50', points: line.join(' ') })
    );
  });
  return {
    svg: grid.join('') + drawn.join('') + dots.join('') + rowName(one.name, PANEL / 2 - 6) + rate(one, PANEL / 2 + 10),
    height: PANEL + PANEL_GAP,
  };
}

/** The line is broken where several answers were due and none came. */
function runs(points: TimelinePoint[], patienceMs: number): TimelinePoint[][] {
  const found: TimelinePoint[][] = [];
  for (const point of points) {
    const last = found.at(-1)?.at(-1);
    if (last && point.at - last.at <= patienceMs) found.at(-1)?.push(point);
    else found.push([point]);
  }
  return found;
}

function pointHint(name: string, { at, ok, failed, p50, p99, max }: TimelinePoint): string {
  return `${name}, ${seconds(at)}: ${ok} answered, ${failed} failed; p50 ${digits(p50)}, p99 ${digits(p99)}, max ${digits(max)} ms`;
}

function rowName(name: string, y: number): string {
  return element('text', { class: 'name', x: 0, y: y + 4 }, escaped(name));
}

function rate(one: ClassResult, y: number): string {
  const over = one.connections === undefined ? '' : ` on ${one.connections}`;
  return element(
    'text',
    { x: 0, y: y + 4 },
    escaped(`${Number(one.rate.toFixed(1)).toLocaleString('en-US')}/s${over}`),
  );
}

function milliseconds(ms: number): string {
  return ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`;
}

/** A time of the run. */
export function seconds(at: number): string {
  return `${Number((at / 1000).toFixed(2))} s`;
}
