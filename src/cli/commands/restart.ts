import type { Command } from 'commander';
import { chooseSupervisor } from '../../control/client.ts';
import { runtimeDirectory } from '../../supervise/runtime-dir.ts';
import { examples } from '../examples.ts';
import { onStderr, onStdout, print, talk, waitFor } from '../report.ts';
import { failureLines, outcomeLine } from '../status-text.ts';

const EXIT_CODES = `
Exit codes:
  0  the new generation is ready
  1  it failed, and the old one goes on; or no such relisten runs
  2  the command line cannot be used`;

/** `relisten restart`. */
export function addRestart(program: Command): void {
  const restart = program
    .command('restart')
    .summary('replace the running generation of a server by a new one, and wait for it')
    .description(
      'Replaces the running generation of a server by a new one, and waits until that is ready. If it fails, the old one goes ' +
        'on, and the reason and the last lines of its stderr are printed.',
    )
    .argument('[name]', 'which; may be left out where only one runs')
    .option('--json', 'print the outcome as JSON')
    .addHelpText('after', EXIT_CODES)
    .action(async (name: string | undefined, { json }: { json?: true }) => {
      const client = chooseSupervisor(runtimeDirectory(), name);
      const waits = `${client.name}: waits until the new generation is ready; relisten status ${client.name} shows it`;
      const outcome = await waitFor(client.restart(), waits);
      if (!outcome.ok) process.exitCode = 1;
      if (json) {
        print(JSON.stringify(outcome, null, 2));
        return;
      }
      if (outcome.ok) {
        print(onStdout('green', outcomeLine(client.name, outcome)));
        return;
      }
      const [first = '', ...rest] = failureLines(client.name, outcome, await client.status().catch(() => undefined));
      talk(`${onStderr('cyan', 'relisten:')} ${onStderr('red', first)}`);
      for (const line of rest) talk(line);
    });
  examples(restart, [
    ['relisten restart', 'exits with 0 once the new generation is ready, with 1 if it failed'],
    ['relisten restart web', 'where several run'],
  ]);
}
