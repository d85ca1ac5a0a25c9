#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { endOnClosedPipe, exitCodeOf, reportError } from './report.ts';
import { version } from './version.ts';

type Add = (program: Command) => void;

/**
 * The commands, in the order in which `--help` lists them. Each is imported only when it is asked for, so that
 * `relisten run` starts without the weight of the others.
 */
const COMMANDS: Record<string, () => Promise<Add>> = {
  run: async () => (await import('./commands/run.ts')).addRun,
  take: async () => (await import('./commands/take.ts')).addTake,
  list: async () => (await import('./commands/list.ts')).addList,
  status: async () => (await import('./commands/status.ts')).addStatus,
  restart: async () => (await import('./commands/restart.ts')).addRestart,
  stop: async () => (await import('./commands/stop.ts')).addStop,
  why: async () => (await import('./commands/why.ts')).addWhy,
  wait: async () => (await import('./commands/wait.ts')).addWait,
  free: async () => (await import('./commands/free.ts')).addFree,
  probe: async () => (await import('./commands/probe.ts')).addProbe,
  prove: async () => (await import('./commands/prove.ts')).addProve,
};

const EXIT_CODES = `
Exit codes:
  0    it is done, or the answer is yes
  1    it failed, or the answer is no
  2    the command line cannot be used
  126  the command to run cannot be executed, 127 it does not exist (run, take)

NO_COLOR is respected. Data goes to stdout, everything else to stderr.
Run relisten <command> --help for options and examples.`;

/** The one command that the first argument names; all of them where it names none, for `--help` and "did you mean". */
async function load(name: string | undefined): Promise<Add[]> {
  if (name === '--version' || name === '-V') return [];
  const one = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  return one ? [await one()] : Promise.all(Object.values(COMMANDS).map(load => load()));
}

/** What to read after an error; the first thing that many type is a server. */
function helpAfterError([name = '', ...rest]: string[]): string {
  if (Object.hasOwn(COMMANDS, name)) return `(relisten ${name} --help says what it takes)`;
  const isServer = name === '--' || !name.startsWith('-');
  const command = [...(name === '--' ? [] : [name]), ...rest].join(' ');
  return isServer && command.includes(' ')
    ? `(to run a server: relisten run -- ${command}; relisten --help says what there is)`
    : '(relisten --help says what there is)';
}

async function main(args: string[]): Promise<void> {
  const program = new Command('relisten')
    .description('Restart any TCP server, now, on the same port, and let no client notice.')
    .usage('<command> [options]')
    .version(version(), '-V, --version', 'print the version')
    // Options after a command's own arguments belong to the program that it runs.
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .showHelpAfterError(helpAfterError(args))
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'relisten: ')) })
    .addHelpText('after', EXIT_CODES)
    .exitOverride();
  for (const add of await load(args[0])) add(program);
  for (const command of program.commands) command.copyInheritedSettings(program);
  await program.parseAsync(args, { from: 'user' });
}

endOnClosedPipe();
try {
  await main(process.argv.slice(2));
} catch (error) {
  // commander has printed its own: help and version end with 0, what it could not parse is a usage error.
  if (!(error instanceof CommanderError)) reportError(error);
  process.exitCode = exitCodeOf(error);
}
