import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { type Address, formatAddress, parseAddress } from '../../address.ts';
import { untilFree } from '../../bind/free.ts';
import { REUSE, type Reuse } from '../../bind/plan.ts';
import { resolveAddress } from '../../bind/resolve.ts';
import { invalidArgument, RelistenError } from '../../errors.ts';
import { inspect } from '../../inspect/inspect.ts';
import { formatDuration } from '../duration.ts';
import { examples } from '../examples.ts';
import { isListening } from '../is-listening.ts';
import { talk } from '../report.ts';
import { timeout } from '../timeout.ts';

interface WaitOptions {
  until: 'free' | 'listening';
  timeout: number;
  reuse: Reuse;
}

const EXIT_CODES = `
Exit codes:
  0  it is so
  1  it was not so in time
  2  the address cannot be used`;

/** Between two tries at an address that a live process has: a try costs some microseconds. */
const INTERVAL_MS = 20;

/** `relisten wait <address>`: until an address is free, or until somebody listens there. */
export function addWait(program: Command): void {
  const command = program
    .command('wait')
    .summary('wait until an address is free, or until somebody listens there')
    .description(
      "Waits until an address can be bound, as long as the kernel's own timers say where connections of a dead server are " +
        'in the way; or until somebody listens there, which a connection tells that is closed at once.',
    )
    .argument('<address>', 'port, host:port, [v6]:port, unix path or @abstract')
    .addOption(new Option('--until <state>', 'what to wait for').choices(['free', 'listening']).default('free'))
    .addOption(timeout('give up after this time', '90s'))
    .addOption(
      new Option('--reuse <options>', 'free for a server that sets these reuse options').choices(REUSE).default('auto'),
    )
    .addHelpText('after', EXIT_CODES)
    .action(wait);
  examples(command, [
    ['relisten wait 3000 && python3 app.py', 'start once the port can be bound'],
    ['relisten wait 3000 --reuse none', 'the same, for a server that does not set SO_REUSEADDR'],
    ['relisten wait localhost:5432 --until listening --timeout 30s', 'go on once the database is there'],
  ]);
}

async function wait(given: string, { until, timeout, reuse }: WaitOptions): Promise<void> {
  const address = parseAddress(given);
  if ('port' in address && address.port === 0) throw invalidArgument('port', 0, 'the number of the port to wait for');
  if (until === 'free') await waitUntilFree(address, { timeout, reuse });
  else await waitUntilListening(address, timeout);
}

async function waitUntilFree(address: Address, { timeout, reuse }: Omit<WaitOptions, 'until'>): Promise<void> {
  const [socketAddress] = await resolveAddress(address);
  await untilFree(socketAddress, {
    reuse,
    interval: INTERVAL_MS,
    deadline: timeout,
    name: formatAddress(address),
    explain: inspect,
    onWait: ({ message }) => talk(message),
  });
}

async function waitUntilListening(address: Address, timeout: number): Promise<void> {
  const end = performance.now() + timeout;
  const name = formatAddress(address);
  let told: string | undefined;
  for (;;) {
    const { listens, why } = await isListening(address, end - performance.now());
    if (listens) return;
    const reason = why === undefined ? '' : `: ${why}`;
    if (performance.now() + INTERVAL_MS >= end) {
      const message = `Nobody listens on ${name} after ${formatDuration(timeout)}${reason}`;
      throw new RelistenError(message, { code: 'ETIMEDOUT', op: 'wait', address: name });
    }
    if (told !== reason) talk(`nobody listens on ${name} yet${reason}`);
    told = reason;
    await sleep(INTERVAL_MS);
  }
}
