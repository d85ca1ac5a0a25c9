import { type Address, formatAddress } from '../address.ts';
import { RelistenError } from '../errors.ts';
import { type Claim, claimName, claimNameLike } from '../supervise/claim.ts';
import { makePrivateDirectory } from '../supervise/private-directory.ts';
import { makeRuntimeDirectory, runtimeDirectory } from '../supervise/runtime-dir.ts';
import type { EndStatus } from '../supervise/supervisor.ts';
import { findUser, mayRead } from '../supervise/user.ts';
import type { RunOptions } from './run-options.ts';
import type { Start } from './supervise.ts';

/** Runs a supervisor in this process until it ends, and the process with it. */
export function runServer(run: RunOptions): Promise<never> {
  return claimed(run, async supervisor => {
    await supervisor.start();
  });
}

/** The same, in the place of a live server; where the command does not get ready, that server goes on untouched. */
export function takeServer(address: Address, run: RunOptions): Promise<never> {
  return claimed(run, async (supervisor, talk) => {
    const outcome = await supervisor.take(address);
    if (outcome.ok) return;
    const { isUntaken } = supervisor;
    await supervisor.abandon({ code: outcome.exitCode, reason: outcome.reason });
    const by = isUntaken
      ? 'is served by what served it before'
      : 'is served by nobody: what served it before has ended';
    talk.say({ type: 'notice', text: `${formatAddress(address)} ${by}` });
  });
}

/** Claims the name first: most of relisten is loaded only for those who get one. */
async function claimed(run: RunOptions, start: Start): Promise<never> {
  const startedAt = Date.now();
  const claim = claimFor(run);
  let end: EndStatus;
  try {
    const unreached = openDirectory(claim.directory, run.supervise.user);
    const warnings = unreached === undefined ? run.warnings : [unreached, ...run.warnings];
    const { supervise } = await import('./supervise.ts');
    end = await supervise({ run, claim, startedAt, warnings }, start);
  } finally {
    claim.release();
  }
  const { endProcess } = await import('./signals.ts');
  return endProcess(end, run.supervise.stopSignal);
}

function claimFor({ name, named }: RunOptions): Claim {
  const runtime = runtimeDirectory();
  makeRuntimeDirectory(runtime);
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
  if (mayRead(path, user)) return undefined;
  return `${user.name} cannot reach ${path}: no sd_notify, and no handoff`;
}
