import type { Command } from 'commander';
import { parseAddress } from '../../address.ts';
import { examples } from '../examples.ts';
import type { RunFlags } from '../run-options.ts';
import { addSuperviseOptions, checkCommand } from './run.ts';

/** `relisten take`. */
export function addTake(program: Command): void {
  const take = program
    .command('take')
    .summary('put a command in the place of a live server, which needs to know nothing of it')
    .description(
      'Starts a command in the place of a live server that relisten did not start, holds all that this server listens on, and ' +
        'asks it to end once the command is ready. If the command does not get ready, the server goes on untouched.',
    )
    .usage('[options] <address> -- <command> [arguments…]')
    .argument('<address>', 'where the server listens: a port, host:port, [v6]:port or a unix path', parseAddress)
    .argument('[command...]', 'what takes its place')
    .passThroughOptions();
  addSuperviseOptions(take).action(
    async (address: ReturnType<typeof parseAddress>, command: string[], flags: RunFlags) => {
      // commander drops the -- only where nothing but options stands before it.
      const given = command[0] === '--' ? command.slice(1) : command;
      checkCommand(given, flags, 'relisten take --name web 3000 -- node server.js');
      const { toRunOptions } = await import('../run-options.ts');
      const { takeServer } = await import('../run-server.ts');
      await takeServer(address, toRunOptions(given, flags));
    },
  );
  examples(take, [
    ['relisten take 3000 -- node server.js', 'the new one starts, then the old one is asked to end'],
    ['relisten take /run/app.sock -- ./server', 'a unix socket'],
  ]);
}
