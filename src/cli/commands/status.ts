import type { Command } from 'commander';
import { chooseSupervisor } from '../../control/client.ts';
import { runtimeDirectory } from '../../supervise/runtime-dir.ts';
import { examples } from '../examples.ts';
import { print } from '../report.ts';
import { statusLines } from '../status-text.ts';

const EXIT_CODES = `
Exit codes:
  0  a generation is ready
  1  none is, or no such relisten runs
  2  the command line cannot be used`;

/** `relisten status`. */
export function addStatus(program: Command): void {
  const status = program
    .command('status')
    .summary('show generations, listeners and connections of a server')
    .description('Shows generations, listeners and connections of a server, and how relisten runs it.')
    .argument('[name]', 'which; may be left out where only one runs')
    .option('--json', 'print JSON')
    .addHelpText('after', EXIT_CODES)
    .action(async (name: string | undefined, { json }: { json?: true }) => {
      const found = await chooseSupervisor(runtimeDirectory(), name).status();
      if (json) print(JSON.stringify(found, null, 2));
      else for (const line of statusLines(found)) print(line);
      // As the exit codes say: whether the server serves.
      if (!found.generations.some(each => each.state === 'ready')) process.exitCode = 1;
    });
  examples(status, [
    ['relisten status', 'the only one that runs'],
    ['relisten status web --json', 'for scripts; exits with 1 while no generation is ready'],
  ]);
}
