import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { type Address, formatAddress, parseAddress } from '../../address.ts';
import { describeProcess } from '../../bind/failure.ts';
import { evictLeftovers, untilFree } from '../../bind/free.ts';
import { resolveAddress } from '../../bind/resolve.ts';
import { removeStalePath } from '../../bind/stale-path.ts';
import { invalidArgument, RelistenError } from '../../errors.ts';
import { inspect } from '../../inspect/inspect.ts';
import { count } from '../../inspect/phrase.ts';
import type { Inspection } from '../../inspection.ts';
import { codeOf } from '../../kernel/errno.ts';
import { processIds } from '../../kernel/process.ts';
import { endBy } from '../end.ts';
import { examples } from '../examples.ts';
import { type Plan, planFree } from '../free/occupants.ts';
import { signalAll } from '../free/stop.ts';
import { talk } from '../report.ts';
import { timeout } from '../timeout.ts';

interface FreeOptions {
  force?: boolean;
  yes?: boolean;
  timeout: number;
}

const EXIT_CODES = `
Exit codes:
  0  the address is free
  1  it is not: refused, declined, or not in time
  2  the address cannot be used`;

/** After SIGKILL only the kernel has work to do. */
const AFTER_KILL_MS = 5_000;
const INTERVAL_MS = 20;

/** `relisten free <address>`: stops who has it, and removes what is left. */
export function addFree(program: Command): void {
  const command = program
    .command('free')
    .summary('stop who has an address, and remove what is left of it')
    .description(
      'Asks the owner of an address to stop (SIGTERM) and waits until the address can be bound; then removes what dead ' +
        'connections left (TIME_WAIT), where it may (CAP_NET_ADMIN). It stops nobody whom it cannot name, nor process 1, ' +
        'itself, or whatever it runs under. On a terminal it asks first.',
    )
    .argument('<address>', 'port, host:port, [v6]:port, unix path or @abstract')
    .option('--force', 'kill (SIGKILL) who has not stopped in time; stop a client, too, that was given the port')
    .addOption(timeout('how long to wait for it to stop', '30s'))
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', EXIT_CODES)
    .action(free);
  examples(command, [
    ['relisten free 3000', 'stop who listens on port 3000'],
    ['relisten free 3000 --force --timeout 2s', 'kill it if it is not gone after 2 s'],
    ['sudo relisten free 3000', 'also what dead connections left, at once'],
  ]);
}

async function free(given: string, options: FreeOptions): Promise<void> {
  const address = parseAddress(given);
  if ('port' in address && address.port === 0) throw invalidArgument('port', 0, 'the number of the port to free');
  const report = await inspect(address, { everyOwner: true });
  const plan = planFree(report, { pid: process.pid, ancestors: ancestors() }, options.force ?? false);
  if (plan.do === 'refuse') throw refused(report, plan.why);
  if (plan.do === 'stop' && !(await stop(address, plan, options))) {
    process.exitCode = 1;
    return;
  }
  if (plan.do === 'clean') await release(address, options.timeout);
  if (plan.do !== 'nothing') await removeLeftovers(address);
  talk(`${formatAddress(address)} is free`);
}

function refused({ address, advice }: Inspection, why: string): RelistenError {
  const report = { advice: advice.filter(line => !line.includes('relisten free')) } as Inspection;
  return new RelistenError(`Cannot free ${address}: ${why}`, { code: 'ERR_REFUSED', op: 'free', address, report });
}

/** @returns false when the person at the terminal does not want it */
async function stop(address: Address, { ask, all }: Plan & { do: 'stop' }, options: FreeOptions): Promise<boolean> {
  const names = ask.map(owner => describeProcess(owner)).join(' and ');
  if (!options.yes && process.stdin.isTTY && !(await confirm(`Stop ${names}?`))) return false;
  for (const owner of signalAll(ask, 'SIGTERM')) talk(`asked ${describeProcess(owner)} to stop`);
  try {
    await release(address, options.timeout);
  } catch (error) {
    if (!options.force || codeOf(error) !== 'EADDRINUSE') throw error;
    for (const owner of signalAll(all, 'SIGKILL')) talk(`killed ${describeProcess(owner)}`);
    await release(address, AFTER_KILL_MS);
  }
  return true;
}

async function confirm(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // Readline takes Ctrl-C for itself, and answers with an error.
  terminal.once('SIGINT', () => {
    talk('');
    terminal.close(); // gives the terminal back
    endBy('SIGINT');
  });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}

/** Waits until the address can be bound, and removes what the kernel keeps of dead connections instead of waiting for it. */
async function release(address: Address, timeout: number): Promise<void> {
  const [socketAddress] = await resolveAddress(address);
  const { warnings } = await untilFree(socketAddress, {
    evict: true,
    interval: INTERVAL_MS,
    deadline: timeout,
    name: formatAddress(address),
    explain: async name => withoutUs(await inspect(name)),
    onWait: ({ why, message }) => why !== 'live' && talk(message),
  });
  for (const warning of warnings) talk(warning);
}

/** Advice that is not the command that was just tried. */
function withoutUs(report: Inspection): Inspection {
  const advice = report.advice.map(line => line.replace(/relisten free (\S+)/, 'relisten free $1 --force'));
  return { ...report, advice };
}

async function removeLeftovers(address: Address): Promise<void> {
  if ('path' in address) {
    if (removeStalePath(address.path)) talk(`removed ${address.path}, which a dead server had left`);
    return;
  }
  const [socketAddress] = await resolveAddress(address);
  const { evicted, left, failure } = evictLeftovers(socketAddress);
  if (evicted > 0) talk(`removed ${count(evicted, 'socket of a dead connection', 'sockets of dead connections')}`);
  if (failure) {
    talk(`${left} sockets of dead connections stay, in the way of a server without SO_REUSEADDR: ${failure.message}`);
  }
}

/** The processes that this one runs under, up to process 1. */
function ancestors(): number[] {
  const found: number[] = [];
  for (let pid = process.ppid; pid > 1 && !found.includes(pid); pid = processIds(pid)?.ppid ?? 0) found.push(pid);
  return found;
}
