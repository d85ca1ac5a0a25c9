import type { Command } from 'commander';
import { type ProbeReport, type ProbeRow, probe } from '../../inspect/probe.ts';
import type { ReuseOptions } from '../../inspection.ts';
import { examples } from '../examples.ts';
import { onStdout, print } from '../report.ts';

const EXIT_CODES = `
Exit codes:
  0  everything was tried
  1  the system does not let it be tried
  2  the command line cannot be used`;

const OPTIONS: Record<ReuseOptions, string> = {
  none: 'no option',
  address: 'SO_REUSEADDR',
  port: 'SO_REUSEPORT',
  both: 'both',
};

const STATES: Record<ProbeRow['state'], string> = {
  LISTEN: 'LISTEN',
  CLOSE: 'bound only',
  ESTABLISHED: 'ESTABLISHED',
  FIN_WAIT2: 'FIN_WAIT2',
  CLOSE_WAIT: 'CLOSE_WAIT',
  TIME_WAIT: 'TIME_WAIT',
};

/** `relisten probe`: what SO_REUSEADDR and SO_REUSEPORT do on this very system. */
export function addProbe(program: Command): void {
  const command = program
    .command('probe')
    .summary('try what SO_REUSEADDR and SO_REUSEPORT do on this system')
    .description(
      'Tries on this very system whether a new server can listen where an old one left something: every set of reuse ' +
        'options of the old one against every one of the new one, in every state that can block. Takes less than a second, ' +
        'uses free ports on loopback, and leaves nothing behind.',
    )
    .option('--json', 'print every single outcome as JSON')
    .option('--markdown', 'print the tables as Markdown')
    .addHelpText('after', EXIT_CODES)
    .action(run);
  examples(command, [
    ['relisten probe', 'the table of this system'],
    ['relisten probe --markdown > reuse.md', 'the same for a document'],
  ]);
}

async function run({ json, markdown }: { json?: boolean; markdown?: boolean }): Promise<void> {
  const report = await probe();
  if (json) print(JSON.stringify(report, undefined, 2));
  else for (const line of markdown ? renderMarkdown(report) : renderText(report)) print(line);
}

/** Rows with the same hosts. */
interface Group {
  title: string;
  rows: ProbeRow[];
}

function groupByHosts({ rows }: ProbeReport): Group[] {
  const groups = new Map<string, ProbeRow[]>();
  for (const row of rows) {
    const title = `${row.oldHost}, then ${row.newHost}`;
    groups.set(title, [...(groups.get(title) ?? []), row]);
  }
  return [...groups].map(([title, list]) => ({ title, rows: list }));
}

/** Most pairs of hosts behave alike: what is the same as a group before is not printed again. */
function mergeAlike(groups: readonly Group[]): { titles: string[]; rows: ProbeRow[] }[] {
  const outcome = (rows: readonly ProbeRow[]) => JSON.stringify(rows.map(row => [row.state, row.old, row.outcomes]));
  const merged: { titles: string[]; rows: ProbeRow[] }[] = [];
  for (const { title, rows } of groups) {
    const alike = merged.find(other => outcome(other.rows) === outcome(rows));
    if (alike) alike.titles.push(title);
    else merged.push({ titles: [title], rows });
  }
  return merged;
}

/** Said instead of a table that has nothing to tell. */
const NO_TABLE = 'They never meet: every newcomer can listen, whatever was left.';

function isAllOk(rows: readonly ProbeRow[]): boolean {
  return rows.every(({ outcomes }) => Object.values(outcomes).every(outcome => outcome === 'ok'));
}

const HEAD = ['left by the old server', 'its options', ...Object.values(OPTIONS).map(name => `new: ${name}`), 'auto'];

function cellsOf(row: ProbeRow): string[] {
  const outcomes = Object.keys(OPTIONS).map(option => row.outcomes[option as ReuseOptions]);
  return [STATES[row.state], OPTIONS[row.old], ...outcomes, describeAuto(row)];
}

/** What `reuse: 'auto'` does: it takes an option, or waits for the kernel's timer, or leaves a live process alone. */
function describeAuto({ auto, state }: ProbeRow): string {
  if (auto !== undefined) return OPTIONS[auto];
  return state === 'TIME_WAIT' || state === 'FIN_WAIT2' ? 'waits or evicts' : 'gives up: it is live';
}

function headline({ platform, release, node }: ProbeReport): string {
  return `Who can listen where an old server left something: ${platform} ${release}, Node ${node}`;
}

function renderText(report: ProbeReport): string[] {
  const lines = [onStdout('bold', headline(report))];
  for (const { titles, rows } of mergeAlike(groupByHosts(report))) {
    const cells = [HEAD, ...rows.map(cellsOf)];
    const widths = HEAD.map((_, column) => Math.max(...cells.map(row => row[column]?.length ?? 0)));
    const pad = (row: string[]) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0));
    lines.push('', ...titles.map(title => onStdout('bold', title)));
    if (isAllOk(rows)) {
      lines.push(NO_TABLE);
      continue;
    }
    lines.push(pad(HEAD).join('  ').trimEnd());
    rows.forEach((row, index) => {
      // A state is named once, before its four rows.
      const shown = cellsOf(row).map((cell, column) =>
        column === 0 && rows[index - 1]?.state === row.state ? '' : cell,
      );
      lines.push(pad(shown).map(paint).join('  ').trimEnd());
    });
  }
  return lines;
}

function paint(cell: string): string {
  if (cell.trim() === 'ok') return onStdout('green', cell);
  return /^E[A-Z]+ *$/.test(cell) ? onStdout('dim', cell) : cell;
}

function renderMarkdown(report: ProbeReport): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const lines = [headline(report)];
  for (const { titles, rows } of mergeAlike(groupByHosts(report))) {
    lines.push('', ...titles.map(title => `- ${title}`), '');
    if (isAllOk(rows)) lines.push(NO_TABLE);
    else lines.push(line(HEAD), line(HEAD.map(() => '---')), ...rows.map(row => line(cellsOf(row))));
  }
  return lines;
}
