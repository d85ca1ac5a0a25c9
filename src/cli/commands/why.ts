import type { Command } from 'commander';
import { shorten } from '../../bind/failure.ts';
import { inspect } from '../../inspect/inspect.ts';
import { count, duration, showAddress, showCounts } from '../../inspect/phrase.ts';
import type { BindTrial, Inspection, SocketFacts } from '../../inspection.ts';
import { examples } from '../examples.ts';
import { onStdout, print } from '../report.ts';

const EXIT_CODES = `
Exit codes:
  0  the address is free
  1  something is in the way
  2  the address cannot be used`;

/** `relisten why <address>`: what is in the way of listening there. */
export function addWhy(program: Command): void {
  const command = program
    .command('why')
    .summary('say what is in the way of listening on an address')
    .description(
      'Says what is in the way of listening on an address: what, whose, until when, and what to do. ' +
        'Tries for real what a bind would do there now; it never listens. As root it can name the processes of every user.',
    )
    .argument('<address>', 'port, host:port, [v6]:port, unix path or @abstract')
    .option('--json', 'print everything that was seen as JSON')
    .addHelpText('after', EXIT_CODES)
    .action(why);
  examples(command, [
    ['relisten why 3000', 'who has port 3000, on whatever host'],
    ['relisten why 127.0.0.1:3000 --json', 'the same for a program'],
    ['relisten why /run/app.sock', 'is it live, or was it left behind?'],
  ]);
}

async function why(address: string, { json }: { json?: boolean }): Promise<void> {
  const report = await inspect(address, { everyOwner: true });
  if (json) print(JSON.stringify(report, undefined, 2));
  else for (const line of [...render(report), ...(await leftBehind(report))]) print(line);
  process.exitCode = report.reason === 'free' ? 0 : 1;
}

/** What a killed relisten has left is taken over by the next one of its name, and nothing need be stopped. */
async function leftBehind({ listeners }: Inspection): Promise<string[]> {
  if (process.platform !== 'linux' || listeners.length === 0) return [];
  const { describeOrphan, findOrphans } = await import('../../control/orphans.ts');
  const { runtimeDirectory } = await import('../../supervise/runtime-dir.ts');
  try {
    const inodes = new Set(listeners.map(({ inode }) => inode));
    const orphans = findOrphans(runtimeDirectory()).filter(orphan =>
      orphan.listeners.some(one => inodes.has(one.inode)),
    );
    return orphans.map(describeOrphan);
  } catch {
    return []; // where relisten's files are another's, or not to be seen
  }
}

function render(report: Inspection): string[] {
  const lines = [onStdout(report.reason === 'free' ? 'green' : 'bold', report.summary)];
  const section = (rows: string[]) => {
    if (rows.length > 0) lines.push('', ...rows.map(row => `  ${row}`.trimEnd()));
  };
  section([...table([...report.listeners, ...report.blockers.slice(0, MAX_ROWS)].map(socketRow)), ...rest(report)]);
  section(trialTable(report.trials));
  if (report.advice.length > 0) lines.push('', ...report.advice);
  if (report.unseen.length > 0) lines.push('', ...report.unseen.map(line => onStdout('dim', line)));
  return lines;
}

const MAX_ROWS = 10;

function socketRow({ state, local, peer, remainingMs, v6only, owners }: SocketFacts): string[] {
  const [owner, ...others] = owners;
  const parent = owner?.parent === undefined ? '' : `, started by ${shorten(owner.parent)} (pid ${owner.ppid})`;
  const more = others.length === 0 ? '' : `, and pid ${others.map(({ pid }) => pid).join(', ')}`;
  const whose = owner ? `${shorten(owner.command)} (pid ${owner.pid}, user ${owner.user}${parent})${more}` : '';
  const left = remainingMs === undefined ? '' : `${duration(remainingMs)} left`;
  return [state, showAddress(local), peer ? showAddress(peer) : '', whose || left || (v6only ? 'IPv6 only' : '')];
}

/** What the table above does not show, when there is much. */
function rest({ blockers, counts, listeners }: Inspection): string[] {
  const all = Object.values(counts).reduce((sum, number) => sum + number, 0);
  const more = all - listeners.length - Math.min(blockers.length, MAX_ROWS);
  return more > 0 ? [`… and ${count(more, 'more socket', 'more sockets')}: ${showCounts(counts)} in all`] : [];
}

/** A row a host, a column an option. */
function trialTable(trials: readonly BindTrial[]): string[] {
  const hosts = [...new Set(trials.map(({ host }) => host))];
  const columns = { none: 'no option', address: 'SO_REUSEADDR', port: 'SO_REUSEPORT', both: 'both' };
  const used = Object.entries(columns).filter(([reuse]) => trials.some(trial => trial.reuse === reuse));
  if (used.length < 2) return [];
  const rows = hosts.map(host => [
    host,
    ...used.map(([option]) => trials.find(({ host: of, reuse }) => of === host && reuse === option)?.code ?? 'ok'),
  ]);
  return table([['a bind now', ...used.map(([, title]) => title)], ...rows]);
}

function table(rows: readonly string[][]): string[] {
  const widths = rows.reduce<number[]>((all, row) => row.map((cell, i) => Math.max(all[i] ?? 0, cell.length)), []);
  return rows.map(row => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  '));
}
