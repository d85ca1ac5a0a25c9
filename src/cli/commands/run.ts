import type { Command } from 'commander';
import { invalidArgument } from '../../errors.ts';
import { checkName } from '../../supervise/name.ts';
import { type PortOption, parsePort, parseRegExp, parseSignal } from '../../supervise/options.ts';
import { durationOf } from '../duration.ts';
import { examples } from '../examples.ts';
import type { RunFlags } from '../run-options.ts';

/** `relisten run`. */
export function addRun(program: Command): void {
  const run = program
    .command('run')
    .summary('run a server, hold its listeners, and restart it without losing a client')
    .description(
      'Runs a server, holds the sockets that it listens on, and replaces it by a new run of the same command on request: ' +
        'relisten restart, SIGHUP, a changed file (--watch), or the key r. Clients that come meanwhile are answered by the new one.',
    )
    .usage('[options] -- <command> [arguments…]')
    .argument('[command...]', 'the server, as it is started without relisten')
    .passThroughOptions();
  addSuperviseOptions(run).action(async (command: string[], flags: RunFlags) => {
    checkCommand(command, flags, 'relisten run -- node server.js');
    const { toRunOptions } = await import('../run-options.ts');
    const { runServer } = await import('../run-server.ts');
    await runServer(toRunOptions(command, flags));
  });
  examples(run, [
    ['relisten run -- node server.js', 'any server, no port named'],
    ['relisten run --watch -- npm start', 'restart when a file changes'],
    ['relisten run -n web -p 80 --user www -- ./server', 'privileged port, unprivileged server'],
    ['relisten run --ready-http /health -- python3 app.py', 'ready when it says so'],
  ]);
}

/**
 * Says what commander does not know: `--watch` takes all words up to `--`, and options behind an argument are not ours.
 *
 * @param example how it is done
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`
 */
export function checkCommand(command: readonly string[], { watch }: RunFlags, example: string): void {
  const [first] = command;
  if (first !== undefined && !first.startsWith('-')) return;
  const taken = Array.isArray(watch) ? `, after the globs of --watch (${watch.join(' ')})` : '';
  const accepted = first === undefined ? `the server's own command behind --${taken}` : 'options in front of all else';
  throw invalidArgument('command', first ?? '', `${accepted}: ${example}`);
}

const EXIT_CODES = `
Exit codes:
  the command's, where it ended by itself, or failed
  0         relisten stop, or the key q, has ended it
  1         it was not ready in time, went into the background, or a listener cannot be had
  2         the command line cannot be used
  126, 127  the command cannot be executed, or does not exist
  130, 143  SIGINT (Ctrl-C) or SIGTERM has ended it, as shells say it`;

/** What `run` and `take` are told of the program. */
export function addSuperviseOptions(command: Command): Command {
  return command
    .option('-n, --name <name>', 'what to call it in list, status, restart and stop', checkName)
    .option('-p, --port <[name=]address>', 'hold [host:]port or a unix path from the start; repeatable', addPort)
    .option(
      '--protocol <name>',
      'how the program is told of -p: systemd or server-starter',
      oneOf('--protocol', PROTOCOLS),
    )
    .option('--no-intercept', 'leave bind(2) and listen(2) of the program alone')
    .option('--no-hook', 'do not load the hook into Node programs')
    .option(
      '--standby <time>',
      'start a Node program’s next process so long after a restart (default: 3s)',
      durationOf('--standby'),
    )
    .option('--no-standby', 'start no process before its restart')
    .option(
      '--warm-http <path>',
      'have a Node program’s next process answer this path before it listens; repeatable',
      addWarmHttp,
    )
    .option('--ready-http <path>', 'ready when this path or URL answers 200 to 399', parseProbe)
    .option('--ready-tcp', 'ready when a connection is accepted')
    .option('--ready-line <regex>', 'ready when a line of its output matches', given =>
      parseRegExp('--ready-line', given),
    )
    .option('--ready-notify', 'ready when it sends READY=1 (sd_notify), and not before')
    .option('--ready-timeout <time>', 'how long a start may take (default: 30s)', durationOf('--ready-timeout'))
    .option(
      '--strategy <name>',
      'overlap (default), or stop-first for servers that cannot run twice',
      oneOf('--strategy', STRATEGIES),
    )
    .option(
      '--slow-start <time>',
      'how long the old one goes on serving while the new one gets warm (default: 0)',
      durationOf('--slow-start'),
    )
    .option('--stop-signal <signal>', 'what ends it (default: SIGTERM)', given => parseSignal('--stop-signal', given))
    .option('--drain <time>', 'how long the old one may take to finish (default: 30s)', durationOf('--drain'))
    .option('--max-draining <n>', 'how many old ones may drain at once (default: 5)', wholeNumber('--max-draining'))
    .option('--give-up <n>', 'end after so many failures in a row (default: never)', wholeNumber('--give-up'))
    .option('--watch [globs...]', 'restart when files change: all of the directory, or these')
    .option('--evict', 'remove TIME_WAIT sockets that block a bind instead of waiting for them (root)')
    .option('--cwd <path>', 'directory of the program')
    .option('--env-file <path>', 'more environment, read at every start')
    .option('--user <name>', 'run the program as this user (root)')
    .option('--no-keys', 'leave the terminal’s input to the program')
    .option('--json', 'say everything as a line of JSON on stderr')
    .option('--quiet', 'only say what went wrong')
    .addHelpText('after', EXIT_CODES);
}

const PROTOCOLS = ['systemd', 'server-starter'] as const;
const STRATEGIES = ['overlap', 'stop-first'] as const;

function oneOf<T extends string>(option: string, accepted: readonly T[]): (given: string) => T {
  return given => {
    const found = accepted.find(name => name === given);
    if (found === undefined) throw invalidArgument(option, given, accepted.join(' or '));
    return found;
  };
}

function wholeNumber(what: string): (given: string) => number {
  return given => {
    if (/^[1-9]\d{0,8}$/.test(given)) return Number(given);
    throw invalidArgument(what, given, 'a whole number from 1');
  };
}

function addPort(given: string, before: PortOption[] = []): PortOption[] {
  return [...before, parsePort(given)];
}

function addWarmHttp(given: string, before: string[] = []): string[] {
  if (/^([A-Z]+ )?\/[!-~]*$/.test(given)) return [...before, given];
  throw invalidArgument('--warm-http', given, 'a path such as /, or a method and a path such as "POST /search"');
}

function parseProbe(given: string): string {
  if (given.startsWith('/') || (/^http:\/\//i.test(given) && URL.canParse(given))) return given;
  throw invalidArgument('--ready-http', given, 'a path such as /health, or an http:// URL');
}
