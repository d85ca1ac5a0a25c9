import { type Address, formatAddress } from '../address.ts';
import { RelistenError } from '../errors.ts';
import { type Claim, claimName, claimNameLike } from '../supervise/claim.ts';
import { makePrivateDirectory, runtimeDirectory } from '../supervise/runtime-dir.ts';
import { Supervisor } from '../supervise/supervisor.ts';
import { findUser } from '../supervise/user.ts';
import { EventTalk } from './event-talk.ts';
import type { RunOptions } from './run-options.ts';
import { obeySignals } from './signals.ts';

/** Runs a supervisor in this process until it ends. */
export async function runServer(run: RunOptions): Promise<void> {
  await supervise(run, async supervisor => {
    await supervisor.start();
  });
}

/** The same, in the place of a live server; where the command does not get ready, that server goes on untouched. */
export async function takeServer(address: Address, run: RunOptions): Promise<void> {
  await supervise(run, async (supervisor, talk) => {
    const outcome = await supervisor.take(address);
    if (outcome.ok) return;
    await supervisor.abandon(outcome.exitCode);
    talk.say({ type: 'notice', text: `${formatAddress(address)} is served by what served it before` });
  });
}

async function supervise(
  run: RunOptions,
  start: (supervisor: Supervisor, talk: EventTalk) => Promise<void>,
): Promise<void> {
  const claim = claimFor(run);
  const { user } = run.supervise;
  try {
    makePrivateDirectory(claim.directory, user === undefined ? undefined : findUser(user).uid);
    const supervisor = new Supervisor({ ...run.supervise, name: claim.name }, claim.directory);
    const talk = new EventTalk(run);
    talk.follow(supervisor);
    const deaf = obeySignals(supervisor, talk);
    const ended = new Promise<number>(fulfil => {
      supervisor.on('end', ({ code, reason }) => {
        if (reason !== undefined) talk.end(reason, code);
        fulfil(code);
      });
    });
    await start(supervisor, talk);
    process.exitCode = await ended;
    talk.flush();
    deaf();
  } finally {
    claim.release();
  }
}

function claimFor({ named, supervise: { name } }: RunOptions): Claim {
  const runtime = runtimeDirectory();
  const claim = named ? claimName(runtime, name) : claimNameLike(runtime, name);
  if (claim) return claim;
  throw new RelistenError(
    `Cannot use the name ${name}: a running relisten has it; restart that one with relisten restart ${name}, or take another --name`,
    { code: 'ERR_NAME_TAKEN', op: 'run' },
  );
}
