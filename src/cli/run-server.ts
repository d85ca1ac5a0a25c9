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
    await supervisor.start();
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
