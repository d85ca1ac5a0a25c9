import { RelistenError } from '../errors.ts';
import { nameOf } from './claim.ts';
import { runtimeDirectory } from './runtime-dir.ts';

/**
 * The error of a bind(2) that another supervisor of this user blocks, said in terms of that one; any other error as it
 * is.
 *
 * @param address as people write it
 */
export function nameSupervisor(address: string, error: unknown): unknown {
  if (!(error instanceof RelistenError) || !error.report) return error;
  const { listeners, blockers } = error.report;
  const runtime = runtimeDirectory();
  for (const { pid } of [...listeners, ...blockers].flatMap(socket => socket.owners)) {
    const name = pid === process.pid ? undefined : nameOf(runtime, pid);
    if (name === undefined) continue;
    const message = `Cannot bind ${address}: the relisten ${name} (pid ${pid}) holds it`;
    const advice = [
      `Restart what it runs: relisten restart ${name}`,
      `Or stop it, and let go of the address: relisten stop ${name}`,
    ];
    const report = { ...error.report, advice };
    return new RelistenError(message, { code: error.code, op: error.op, address, report, cause: error });
  }
  return error;
}
