import type { Command } from 'commander';
import { chooseSupervisor } from '../../control/client.ts';
import { runtimeDirectory } from '../../supervise/runtime-dir.ts';
import { examples } from '../examples.ts';
import { print, waitFor } from '../report.ts';

/** `relisten stop`. */
export function addStop(program: Command): void {
  const stop = program
    .command('stop')
    .description('drain a server, end it, and let go of its listeners')
    .argument('[name]', 'which; may be left out where only one runs')
    .option('--now', 'kill what still drains')
    .option('--json', 'print how it ended as JSON')
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
