import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { RelistenError } from '../../errors.ts';
import { LOADS } from '../../prove/loads.ts';
import type { Proof } from '../../prove/proof.ts';
import { type ProveOptions, prove } from '../../prove/prove.ts';
import { reach } from '../../prove/reach.ts';
import { rehearse } from '../../prove/rehearse.ts';
import { proofReport, type Tone } from '../../prove/report.ts';
import { shellSubject } from '../../prove/shell-subject.ts';
import type { Subject } from '../../prove/subject.ts';
import { count } from '../../prove/verdict.ts';
import { parseDuration } from '../duration.ts';
import { examples } from '../examples.ts';
import { ProgressBar } from '../progress-bar.ts';
import { onStdout, print, talk } from '../report.ts';
import { version } from '../version.ts';
import { atLeast, classesOf, factor, formOf, type ProveFlags, parseClass } from './prove-options.ts';

const EXIT_CODES = `
Exit codes:
  0    every restart went well, and no more requests failed than --allow says
  1    more failed, a restart failed, or it stopped before the last restart
  2    the command line cannot be used, or the target is not on this host
  130  interrupted; the report says what was seen until then`;

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
    .addOption(duration('--pause <duration>', 'load between two restarts', '2s'))
    .option(
      '--least <duration>',
      'how long a --restart counts as going on, even if it exits sooner',
      parseDuration,
      1000,
    )
    .addOption(duration('--deadline <duration>', 'stop by then, whatever is missing', '10m'))
    .option('--run-option <option>', 'an option for the relisten run of the command; may be repeated', collect)
    .option('--remote', 'allow a target that is not on this host')
    .optionsGroup('Report:')
    .option('--allow <n>', 'how many failed requests are all right', atLeast(0, '--allow'), 0)
    .option('--json', 'print everything that was seen as JSON')
    .option('--html <file>', 'write a page with a timeline')
    .addHelpText('after', EXIT_CODES)
    .action(run);
  examples(command, [
    ['relisten prove -- node server.js', 'ten restarts under the base load'],
    ['relisten prove --kill --html report.html -- node server.js', 'the same with crashes, and a page'],
    ["relisten prove --url http://127.0.0.1:3000 --restart 'pm2 reload app'", 'what somebody else restarts'],
    ['relisten prove --class slow,rate=20,path=/events -- node server.js', 'long responses alone'],
  ]);
}

function duration(flags: string, description: string, standard: string): Option {
  return new Option(flags, description).argParser(parseDuration).default(parseDuration(standard), standard);
}

function collect(given: string, before: string[] = []): string[] {
  return [...before, given];
}

async function run(command: string[], flags: ProveFlags): Promise<void> {
  const form = formOf(flags, command);
  // Ten minutes of load are a long way to a folder that is not there.
  if (flags.html !== undefined) await writeTo(flags.html, '');
  const interrupt = new AbortController();
  const onSignal = () => interrupt.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, onSignal);
  const subject = form === 'shell' ? shellSubject(flags.restart ?? '', flags.least) : await supervised(command, flags);
  try {
    const proof = await proveIt(subject, flags, interrupt.signal);
    if (flags.html !== undefined) await writePage(flags.html, proof);
    report(proof, flags);
    process.exitCode = interrupt.signal.aborted ? 130 : proof.verdict.exitCode;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
    await subject.close();
  }
}

async function proveIt(subject: Subject, flags: ProveFlags, interrupted: AbortSignal): Promise<Proof> {
  const { target, asked } = await reach(flags.url ?? '', flags.remote === true);
  const load: ProveOptions['load'] = {
    target,
    classes: classesOf(flags).map(one => (one.target ? one : { ...one, headers: { Host: asked.authority } })),
    timeoutMs: flags.timeout,
    generation: { header: flags.generationHeader },
  };
  const { classes, leftOut } = await rehearse(load, flags.class === undefined);
  for (const one of leftOut) talk(`relisten: ${one.class} takes no part: ${one.why}`);
  const bar = new ProgressBar();
  const steps = flags.restarts;
  const proof = await prove({
    subject,
    target: asked.authority,
    load: { ...load, classes },
    leftOut,
    restarts: steps,
    allow: flags.allow,
    warmUpMs: flags.warmUp,
    pauseMs: flags.pause,
    signal: AbortSignal.any([interrupted, AbortSignal.timeout(flags.deadline)]),
    relisten: version(),
    onProgress: ({ restarts, due, failed, closedWhileIdle }) => {
      const counts = `${count(due)} requests, ${count(failed)} failed, ${count(closedWhileIdle)} closed while idle`;
      bar.draw(restarts / steps, `restart ${Math.min(restarts + 1, steps)} of ${steps}: ${counts}`);
    },
  });
  bar.clear();
  return proof;
}

async function writePage(file: string, proof: Proof): Promise<void> {
  const { proofPage } = await import('../../prove/html/page.ts');
  await writeTo(file, proofPage(proof));
}

async function writeTo(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (cause) {
    const { code = 'EIO', message } = cause as NodeJS.ErrnoException;
    throw new RelistenError(`Cannot write ${file}: ${message}`, { code, op: 'open', cause });
  }
}

function report(proof: Proof, flags: ProveFlags): void {
  if (flags.json) print(JSON.stringify(proof, undefined, 2));
  else for (const line of proofReport(proof, paint)) print(line);
}

const STYLES: Record<Tone, Parameters<typeof onStdout>[0]> = { good: 'green', bad: 'red', dim: 'dim', strong: 'bold' };

function paint(tone: Tone, text: string): string {
  return onStdout(STYLES[tone], text);
}

async function supervised(command: string[], flags: ProveFlags): Promise<Subject> {
  throw new RelistenError(`Cannot run ${command[0]} ${flags.kill}`, { code: 'ERR_NOT_YET', op: 'prove' });
}
