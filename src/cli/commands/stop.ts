import type { Command } from 'commander';
import { chooseSupervisor } from '../../control/client.ts';
import { runtimeDirectory } from '../../supervise/runtime-dir.ts';
import { examples } from '../examples.ts';
import { print, waitFor } from '../report.ts';

const EXIT_CODES = `
Exit codes:
  0  it has ended
  1  no such relisten runs, or it does not answer
  2  the command line cannot be used`;

/** `relisten stop`. */
export function addStop(program: Command): void {
  const stop = program
    .command('stop')
    .summary('drain a server, end it, and let go of its listeners')
    .description('Drains a server, ends it, and lets go of its listeners; waits until all of that is done.')
    .argument('[name]', 'which; may be left out where only one runs')
    .option('--now', 'kill what still drains')
    .option('--json', 'print how it ended as JSON')
    .addHelpText('after', EXIT_CODES)
    .action(async (name: string | undefined, { json, now }: { json?: true; now?: true }) => {
      const client = chooseSupervisor(runtimeDirectory(), name);
      const waits = `${client.name}: waits until what it started has ended; relisten status ${client.name} shows it`;
      const end = await waitFor(client.stop(now === true), waits);
      print(json ? JSON.stringify(end, null, 2) : `${client.name}: stopped (the command's exit code is ${end.code})`);
    });
  examples(stop, [
    ['relisten stop', 'waits until its clients are served, for --drain at most'],
    ['relisten stop web --now', 'does not wait'],
  ]);
}
