import type { Command } from 'commander';
import { findSupervisors, nobodyIn } from '../../control/client.ts';
import { describeOrphan, findOrphans } from '../../control/orphans.ts';
import { runtimeDirectory } from '../../supervise/runtime-dir.ts';
import { examples } from '../examples.ts';
import { print, reportError, talk } from '../report.ts';
import { listTable } from '../status-text.ts';

const EXIT_CODES = `
Exit codes:
  0  all that run have answered, or none runs
  1  one did not answer
  2  the command line cannot be used`;

/** `relisten list`. */
export function addList(program: Command): void {
  const list = program
    .command('list')
    .summary('list the servers that run under relisten')
    .description(
      'Lists the servers that run under relisten as this user, and those that a killed relisten has left. It looks in ' +
        '$XDG_RUNTIME_DIR/relisten; where that is not set in /run/relisten as root, else in a directory of the user’s in /tmp.',
    )
    .option('--json', 'print JSON: an array of what status --json prints')
    .addHelpText('after', EXIT_CODES)
    .action(async ({ json }: { json?: true }) => {
      const runtime = runtimeDirectory();
      const asked = findSupervisors(runtime).map(client => client.status());
      const answers = await Promise.allSettled(asked);
      const found = answers.flatMap(answer => (answer.status === 'fulfilled' ? [answer.value] : []));
      if (json) print(JSON.stringify(found, null, 2));
      else for (const line of listTable(found, process.stdout.columns)) print(line);
      if (answers.length === 0 && !json) talk(nobodyIn(runtime));
      for (const orphan of findOrphans(runtime)) talk(describeOrphan(orphan));
      for (const answer of answers) if (answer.status === 'rejected') reportError(answer.reason);
      if (found.length < answers.length) process.exitCode = 1;
    });
  examples(list, [['relisten list', 'name, state, connections and listeners of each']]);
}
