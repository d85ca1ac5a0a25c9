import { existsSync, lstatSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RelistenError } from '../errors.ts';
import { codeOf } from '../kernel/errno.ts';

/**
 * Where the control sockets of this user's supervisors are: `$XDG_RUNTIME_DIR/relisten`, for root without one
 * `/run/relisten`, else a directory of the user's own in the system's temporary one. Made 0700 if it is missing.
 *
 * @throws RelistenError where it belongs to somebody else
 */
export function runtimeDirectory(): string {
  const uid = process.geteuid?.() ?? 0;
  const base = process.env.XDG_RUNTIME_DIR || (uid === 0 ? '/run' : undefined);
  const path = base ? join(base, 'relisten') : join(tmpdir(), `relisten-${uid}`);
  try {
    // Not recursive: below /proc, Node's recursive one tries for ever.
    if (!existsSync(path)) mkdirSync(path, { mode: 0o700 });
  } catch (cause) {
    // EEXIST: another relisten that starts in the same moment was faster.
    if (codeOf(cause) !== 'EEXIST') throw cannotMake(path, cause);
  }
  const stat = lstatSync(path);
  if (!stat.isDirectory() || stat.uid !== uid) {
    throw new RelistenError(`Cannot use ${path}: it belongs to uid ${stat.uid}, and we are ${uid}`, {
      code: 'EPERM',
      op: 'open',
    });
  }
  return path;
}

function cannotMake(path: string, cause: unknown): RelistenError {
  const advice = process.env.XDG_RUNTIME_DIR
    ? 'look at XDG_RUNTIME_DIR, it must exist and be your own'
    : 'set XDG_RUNTIME_DIR to a directory of your own that can be written';
  return new RelistenError(`Cannot make ${path}: ${codeOf(cause)}; ${advice}`, {
    code: codeOf(cause) ?? 'EIO',
    op: 'mkdir',
    cause,
  });
}
