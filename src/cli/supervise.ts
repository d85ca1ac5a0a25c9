import type { ControlServer } from '../control/server.ts';
import type { StatusFacts } from '../control/status.ts';
import { whyNoInterception } from '../kernel/seccomp.ts';
import { flushOutput, unblockOutput } from '../kernel/stdio.ts';
import { inheritedFds } from '../listen/inherited.ts';
import type { Claim } from '../supervise/claim.ts';
import { type EndStatus, Supervisor } from '../supervise/supervisor.ts';
import type { Way } from '../supervise/way.ts';
import { EventTalk } from './event-talk.ts';
import { silentInput } from './keys.ts';
import { loadTheRestLater } from './late.ts';
import { obeyKeys } from './obey-keys.ts';
import { Orders } from './orders.ts';
import type { RunOptions } from './run-options.ts';
import { tellServiceManager } from './service-manager.ts';
import { obeySignals } from './signals.ts';
import { version } from './version.ts';
import { watchFiles } from './watching.ts';

/** Begins a supervisor's work: by its command, or by taking over what runs already. */
export type Start = (supervisor: Supervisor, talk: EventTalk) => Promise<void>;

export interface Supervision {
  run: RunOptions;
  claim: Claim;
  /** Unix time in ms. */
  startedAt: number;
  /** What the user should know beforehand. */
  warnings: string[];
}

/** How long whoever reads our output may take for the last of it. */
const LAST_WORDS_MS = 1_000;

/**
 * Runs a supervisor to its end. What the command does not need in order to start is loaded once it was spawned.
 *
 * @returns how the command ended
 */
export async function supervise({ run, claim, startedAt, warnings }: Supervision, start: Start): Promise<EndStatus> {
  unblockOutput();
  ignoreClosedOutput();
  const way = wayOf(run);
  const stdin = run.keys ? silentInput() : undefined;
  const options = { ...run.supervise, intercept: way.intercept, stdin };
  const supervisor = new Supervisor(options, claim);
  supervisor.on('event', event => {
    if (event.type === 'unintercepted') Object.assign(way, { intercept: false, whyNot: event.reason });
  });
  const talk = new EventTalk(run);
  talk.follow(supervisor);
  const orders = new Orders(supervisor, talk);
  obeySignals(orders);
  tellServiceManager(supervisor, talk);
  const ended = new Promise<EndStatus>(fulfil => supervisor.once('end', fulfil));
  const facts = { version: version(), startedAt, way };
  const first = Promise.race([spawned(supervisor), ended]);
  const control = first.then(() => openControl(supervisor, claim, talk, facts));
  void first.then(() => loadTheRestLater(supervisor));
  const { watch } = run;
  if (watch) void first.then(() => watchFiles(watch, supervisor, orders, talk));
  for (const text of warnings) talk.say({ type: 'notice', text });
  talk.say({ type: 'supervising', name: claim.name, pid: process.pid, way });
  if (run.keys) obeyKeys(orders, talk, () => import('../control/status.ts').then(it => it.statusOf(supervisor, facts)));
  await Promise.race([start(supervisor, talk), ended]); // -p may wait for a minute, and be told to end
  const end = await ended;
  if (end.reason !== undefined) talk.end(end.reason, end.code);
  await (await control)?.close(end);
  await flushOutput(LAST_WORDS_MS);
  return end;
}

/** Whoever read our output may go; the server stays. */
function ignoreClosedOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
}

function wayOf({ supervise: { intercept, ports, protocol, hook } }: RunOptions): Way {
  const whyNot = intercept ? whyNoInterception() : undefined;
  return {
    intercept: intercept && whyNot === undefined,
    whyNot,
    hook: hook !== undefined,
    passed: (ports.length > 0 || inheritedFds().length > 0) && protocol,
  };
}

/** Resolves when the first command was spawned. */
function spawned(supervisor: Supervisor): Promise<void> {
  return new Promise(fulfil => {
    supervisor.on('event', function listen({ type }) {
      if (type !== 'spawned') return;
      supervisor.off('event', listen);
      fulfil();
    });
  });
}

async function openControl(
  supervisor: Supervisor,
  claim: Claim,
  talk: EventTalk,
  facts: StatusFacts,
): Promise<ControlServer | undefined> {
  if (supervisor.ended) return undefined;
  const [{ ControlServer }, { Reach }] = await Promise.all([import('../control/server.ts'), import('./reach.ts')]);
  const control = new ControlServer(supervisor, facts);
  await new Reach({ supervisor, claim, control, say: text => talk.say({ type: 'notice', text }) }).begin();
  return control;
}
