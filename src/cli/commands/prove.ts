import { type Command, Option } from 'commander';
import { LOADS } from '../../prove/loads.ts';
import { durationOf, parseDuration } from '../duration.ts';
import { examples } from '../examples.ts';
import { atLeast, factor, type ProveFlags, parseClass } from '../prove-options.ts';

const EXIT_CODES = `
Exit codes:
  0    every restart went well, and no more requests failed than --allow says
  1    more failed, a restart failed, or it stopped before the last restart
  2    the command line cannot be used, or the target is not on this host
  130  interrupted (by SIGINT); the report says what was seen until then`;

/** `relisten prove`: what clients see of a restart. */
export function addProve(program: Command): void {
  const command = program
    .command('prove')
    .summary('restart a server under load, and report what its clients saw')
    .description(
      'Drives a server with a load, restarts it again and again, and reports every request that its clients lost, ' +
        'by what they saw: refused, reset, eof, truncated, timeout, wrong status, wrong body. Nothing is tried twice.',
    )
    .argument('[command...]', 'the server, to be run by relisten; after --')
    .option('--url <url>', 'where the load goes; with a command, where it listens by default')
    .option('--restart <shell command>', 'restarts the server at --url, whoever runs it; done when it exits with 0')
    .option('--restarts <n>', 'how many restarts', atLeast(1, '--restarts'), 10)
    .option('--kill', 'kill the serving process with SIGKILL instead of restarting it')
    .optionsGroup('Load:')
    .addOption(new Option('--load <name>', 'the mix of clients').choices(Object.keys(LOADS)).default('base'))
    .option('--rate <factor>', 'times the rates of the load', factor, 1)
    .option('--class <kind,key=value…>', 'a class of clients instead of the load; may be repeated', parseClass)
    .option('--path <path>', 'what is requested; by default what --url says')
    .option('--post-path <path>', 'what the 16 KiB are posted to; by default --path')
    .option('--slow-path <path>', 'what streams its response over a second; /slow by default')
    .addOption(duration('--timeout <duration>', 'a request without an answer by then has failed', '10s'))
    .option('--generation-header <name>', 'the response header that names the version', 'x-generation')
    .optionsGroup('Course:')
    .addOption(duration('--warm-up <duration>', 'load before the first restart', '3s'))
    .addOption(duration('--pause <duration>', 'load between two restarts', '4s'))
    .addOption(duration('--least <duration>', 'how long a --restart counts as going on, even if it exits sooner', '1s'))
    .addOption(duration('--deadline <duration>', 'stop by then, whatever is missing', '10m'))
    .option('--run-option <option>', 'an option for the relisten run of the command; may be repeated', collect)
    .option('--remote', 'allow a target that is not on this host')
    .optionsGroup('Report:')
    .option('--allow <n>', 'how many failed requests are all right', atLeast(0, '--allow'), 0)
    .option('--json', 'print everything that was seen as JSON')
    .option('--html <file>', 'write a page with a timeline')
    .addHelpText('after', EXIT_CODES)
    .action(async (command: string[], flags: ProveFlags) => {
      const { proveServer } = await import('../prove-server.ts');
      await proveServer(command, flags);
    });
  examples(command, [
    ['relisten prove -- node server.js', 'ten restarts under the base load'],
    ['relisten prove --kill --html report.html -- node server.js', 'the same with crashes, and a page'],
    ["relisten prove --url http://127.0.0.1:3000 --restart 'pm2 reload app'", 'what somebody else restarts'],
    ['relisten prove --class slow,rate=20,path=/events -- node server.js', 'long responses alone'],
  ]);
}

function duration(flags: string, description: string, standard: string): Option {
  const [name = ''] = flags.split(' ');
  return new Option(flags, description).argParser(durationOf(name)).default(parseDuration(standard), standard);
}

function collect(given: string, before: string[] = []): string[] {
  return [...before, given];
}
