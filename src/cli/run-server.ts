import { chmodSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Address, formatAddress } from '../address.ts';
import type { ControlServer } from '../control/server.ts';
import type { StatusFacts } from '../control/status.ts';
import { RelistenError } from '../errors.ts';
import { whyNoInterception } from '../kernel/seccomp.ts';
import { type Claim, claimName, claimNameLike } from '../supervise/claim.ts';
import { makePrivateDirectory, runtimeDirectory } from '../supervise/runtime-dir.ts';
import { type EndStatus, Supervisor } from '../supervise/supervisor.ts';
import { findUser, mayRead } from '../supervise/user.ts';
import type { Way } from '../supervise/way.ts';
import { EventTalk } from './event-talk.ts';
import { silentInput } from './keys.ts';
import { obeyKeys } from './obey-keys.ts';
import { Orders } from './orders.ts';
import type { RunOptions } from './run-options.ts';
import { obeySignals } from './signals.ts';
import { version } from './version.ts';
import { watchFiles } from './watching.ts';

/**
 * Runs a supervisor in this process until it ends, and the process with it. What the command does not need in order to
 * start is loaded once it was spawned.
 */
export function runServer(run: RunOptions): Promise<never> {
  return supervise(run, async supervisor => {
    await supervisor.start();
  });
}

/** The same, in the place of a live server; where the command does not get ready, that server goes on untouched. */
export function takeServer(address: Address, run: RunOptions): Promise<never> {
  return supervise(run, async (supervisor, talk) => {
    const outcome = await supervisor.take(address);
    if (outcome.ok) return;
    await supervisor.abandon(outcome.exitCode);
    talk.say({ type: 'notice', text: `${formatAddress(address)} is served by what served it before` });
  });
}

async function supervise(
  run: RunOptions,
  start: (supervisor: Supervisor, talk: EventTalk) => Promise<void>,
): Promise<never> {
  const startedAt = Date.now();
  ignoreClosedOutput();
  const claim = claimFor(run);
  const way = wayOf(run);
  const { user } = run.supervise;
  const cannot = openDirectory(claim.directory, user);
  const stdin = run.keys ? silentInput() : undefined;
  const options = { ...run.supervise, name: claim.name, intercept: way.intercept, stdin };
  const supervisor = new Supervisor(options, claim.directory);
  supervisor.on('event', event => {
    if (event.type === 'unintercepted') Object.assign(way, { intercept: false, whyNot: event.reason });
  });
  const talk = new EventTalk(run);
  talk.follow(supervisor);
  const orders = new Orders(supervisor, talk);
  obeySignals(orders);
  const ended = new Promise<EndStatus>(fulfil => supervisor.once('end', fulfil));
  const facts = { version: version(), startedAt, way };
  const first = Promise.race([spawned(supervisor), ended]);
  const control = first.then(() => openControl(supervisor, claim, talk, facts));
  const { watch } = run;
  if (watch) void first.then(() => watchFiles(watch, supervisor, orders, talk));
  if (cannot !== undefined) talk.say({ type: 'notice', text: cannot });
  talk.say({ type: 'supervising', name: claim.name, pid: process.pid, way });
  if (run.keys) obeyKeys(orders, talk, () => import('../control/status.ts').then(it => it.statusOf(supervisor, facts)));
  try {
    await start(supervisor, talk);
  } catch (error) {
    claim.release();
    throw error;
  }
  const end = await ended;
  if (end.reason !== undefined) talk.end(end.reason, end.code);
  await (await control)?.close(end);
  claim.release();
  process.exit(end.code);
}

/** Whoever read our output may go; the server stays. */
function ignoreClosedOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
}

function claimFor({ named, supervise: { name } }: RunOptions): Claim {
  const runtime = runtimeDirectory();
  const claim = named ? claimName(runtime, name) : claimNameLike(runtime, name);
  if (claim) return claim;
  throw new RelistenError(
    `Cannot use the name ${name}: a relisten that runs has it. \`relisten restart ${name}\` restarts that one; or take another --name`,
    { code: 'ERR_NAME_TAKEN', op: 'run' },
  );
}

/** Makes the private directory. @returns what the program's user cannot do with it */
function openDirectory(path: string, name: string | undefined): string | undefined {
  if (name === undefined) {
    makePrivateDirectory(path);
    return undefined;
  }
  const user = findUser(name);
  makePrivateDirectory(path, user.uid);
  // Others may pass, and see no names.
  chmodSync(dirname(path), 0o711);
  if (mayRead(path, user)) return undefined;
  return `${user.name} cannot reach ${path}: no sd_notify, and no handoff`;
}

function wayOf({ supervise: { intercept, ports, protocol, hook } }: RunOptions): Way {
  const whyNot = intercept ? whyNoInterception() : undefined;
  return {
    intercept: intercept && whyNot === undefined,
    whyNot,
    hook: hook !== undefined,
    passed: ports.length > 0 && protocol,
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
  const { ControlServer } = await import('../control/server.ts');
  const server = new ControlServer(supervisor, claim.socket, facts);
  try {
    await server.listen();
    return server;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    talk.say({ type: 'notice', text: `Cannot be controlled: ${why}` });
    return undefined;
  }
}
