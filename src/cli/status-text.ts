import type { GenerationStatus, ListenerStatus, Status } from '../control/status.ts';
import { formatCommand } from '../kernel/procfs.ts';
import type { RestartOutcome } from '../supervise/events.ts';
import { describeExit } from '../supervise/exit-code.ts';
import { formatDuration } from './duration.ts';
import { plural } from './event-lines.ts';

/*
 * A supervisor's status, and the outcome of a restart, as text. Pure: colours and printing are the commands' own.
 */

/**
 * A line a supervisor, under a heading; none at all for none.
 *
 * @param width of the terminal, to which commands are cut as ps(1) does it, where there is one
 */
export function listTable(found: readonly Status[], width = Number.POSITIVE_INFINITY): string[] {
  if (found.length === 0) return [];
  const rows = found.map(status => {
    const serving = status.generations.find(each => each.state === 'ready');
    const clients = status.generations.reduce((sum, each) => sum + each.connections, 0);
    return [
      status.name,
      summarise(status),
      String(serving?.pid ?? '-'),
      serving ? formatDuration(serving.ageMs) : '-',
      String(clients),
      status.listeners.map(listener => listener.address).join(' ') || '-',
      formatCommand(status.command),
    ];
  });
  const [head = '', ...lines] = align([['NAME', 'STATE', 'PID', 'AGE', 'CLIENTS', 'LISTENERS', 'COMMAND'], ...rows]);
  const whole = Math.max(width, head.length);
  return [head, ...lines.map(line => (line.length > whole ? `${line.slice(0, whole - 1)}…` : line))];
}

/** Everything about one supervisor. */
export function statusLines(status: Status): string[] {
  const { name, command, cwd, way, restarts, crashes, standby, pid, uptimeMs } = status;
  const facts: [string, string][] = [
    ['command', formatCommand(command)],
    ['in', cwd],
    ['how', way.text],
    ['restarts', `${restarts}, crashes ${crashes}`],
    ...(standby === undefined
      ? []
      : [['standby', `pid ${standby} waits to be the next generation`] as [string, string]]),
    ['relisten', `pid ${pid}, up ${formatDuration(uptimeMs)}`],
  ];
  return [
    `${name}: ${summarise(status)}`,
    ...align(facts.map(([label, value]) => [`  ${label}`, value])),
    ...section('generations', generationRows(status)),
    ...section('listeners', status.listeners.map(listenerRow)),
  ];
}

/** In a few words, e.g. `ready (generation 3), 1 draining`. */
function summarise({ generations, stopping }: Status): string {
  const ready = generations.find(each => each.state === 'ready');
  const starting = generations.find(each => each.state === 'starting');
  const yielding = generations.find(each => each.state === 'yielding');
  const draining = generations.filter(each => each.state === 'draining').length;
  const parts = [
    ...(stopping ? ['stopping'] : []),
    ...(ready ? [`ready (generation ${ready.generation})`] : []),
    ...(starting ? [`starting (generation ${starting.generation})`] : []),
    ...(yielding ? [`yielding (generation ${yielding.generation})`] : []),
    ...(draining > 0 ? [`${draining} draining`] : []),
  ];
  return parts.join(', ') || 'nothing runs';
}

function generationRows(status: Status): string[][] {
  const { generations } = status;
  return generations.map(each => [
    String(each.generation),
    each.state,
    each.pid === undefined ? '' : `pid ${each.pid}`,
    formatDuration(each.ageMs),
    plural(each.connections, 'connection'),
    [remark(each, status), each.status].filter(Boolean).join('; '),
  ]);
}

function remark(
  { state, startedAt, since, ageMs }: GenerationStatus,
  { generations, drainMs, slowStartMs }: Status,
): string {
  const now = startedAt + ageMs;
  if (state === 'yielding') {
    const successor = generations.find(each => each.state === 'ready');
    if (!successor) return 'serves until another is ready';
    return `serves for another ${formatDuration(successor.since + slowStartMs - now)}`;
  }
  if (state !== 'draining') return '';
  const leftMs = since + drainMs - now;
  return `killed in ${formatDuration(leftMs)} at the latest`;
}

function listenerRow({ address, pinned, queue }: ListenerStatus): string[] {
  const waiting = queue ? `${queue.waiting} of ${queue.limit} waiting` : '';
  return [address, waiting, pinned ? 'named with -p' : ''];
}

/** What `relisten restart` says of one that is ready. */
export function outcomeLine(name: string, outcome: RestartOutcome & { ok: true }): string {
  return `${name}: generation ${outcome.generation} ready (pid ${outcome.pid}, ${formatDuration(outcome.durationMs)})`;
}

/** What `relisten restart` says of one that failed: why, who serves now, and its last words. */
export function failureLines(name: string, outcome: RestartOutcome & { ok: false }, status?: Status): string[] {
  const { generation, reason, exit, stderr } = outcome;
  const how = exit && !reason.includes(describeExit(exit)) ? ` (${describeExit(exit)})` : '';
  return [
    `${name} was not restarted: generation ${generation} failed after ${formatDuration(outcome.durationMs)}: ${reason}${how}`,
    `  ${whoServes(status)}`,
    ...(stderr.length > 0 ? ['  The last lines of its stderr:', ...stderr.map(line => `  | ${line}`)] : []),
  ];
}

/** @param status after the restart; undefined where relisten has not answered */
function whoServes(status: Status | undefined): string {
  if (!status) return 'No other generation was ready, and relisten does not answer any more.';
  const inState = (state: GenerationStatus['state']) => status.generations.find(each => each.state === state);
  const ready = inState('ready') ?? inState('yielding');
  if (ready) return `Generation ${ready.generation} (pid ${ready.pid}) goes on as before.`;
  if (status.stopping) return 'No other generation was ready, and relisten is ending.';
  const clients = status.listeners.length === 0 ? 'nobody listens' : 'clients wait';
  return `No other generation was ready: ${clients} until one is.`;
}

function section(title: string, rows: string[][]): string[] {
  return rows.length === 0 ? [] : [`  ${title}`, ...align(rows).map(line => `    ${line}`)];
}

/** Columns padded to their widest cell. */
function align(rows: readonly string[][]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  return rows.map(row =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
