import { lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RelistenError } from '../errors.ts';
import { codeOf } from '../kernel/errno.ts';

/**
 * Where the control sockets of this user's supervisors are: `$XDG_RUNTIME_DIR/relisten`, for root without one
 * `/run/relisten`, else a directory of the user's own in the system's temporary one. It need not be there: whoever only
 * looks makes nothing.
 *
 * @throws RelistenError where it belongs to somebody else, or cannot be looked into
 */
export function runtimeDirectory(): string {
  const base = process.env.XDG_RUNTIME_DIR || (ourUid() === 0 ? '/run' : undefined);
  const path = base ? join(base, 'relisten') : join(tmpdir(), `relisten-${ourUid()}`);
  checkOwner(path);
  return path;
}

/**
 * Makes it, 0700, if it is missing.
 *
 * @param path see {@link runtimeDirectory}
 * @throws RelistenError where it cannot be made, or belongs to somebody else
 */
export function makeRuntimeDirectory(path: string): void {
  try {
    // Not recursive: below /proc, Node's recursive one tries for ever.
    mkdirSync(path, { mode: 0o700 });
  } catch (cause) {
    if (codeOf(cause) !== 'EEXIST') throw cannot('make', path, cause);
  }
  checkOwner(path);
}

/** What stands before an ending in the names of its files, e.g. the names that have a `.lock`. None where it is missing. */
export function namesWith(ending: string, runtime: string): string[] {
  let files: string[];
  try {
    files = readdirSync(runtime);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
  return files.flatMap(file => (file.endsWith(ending) ? [file.slice(0, -ending.length)] : []));
}

/** Nobody else may have made it, in a directory that all may write in. */
function checkOwner(path: string): void {
  let stat: ReturnType<typeof lstatSync>;
  try {
    stat = lstatSync(path);
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return;
    throw cannot('use', path, cause);
  }
  if (stat.isDirectory() && stat.uid === ourUid()) return;
  const why = stat.isDirectory()
    ? `it belongs to uid ${stat.uid}, and we are ${ourUid()}${adviceTo(stat.uid)}`
    : 'it is no directory';
  throw new RelistenError(`Cannot use ${path}: ${why}`, { code: 'EPERM', op: 'open' });
}

/** Root could look, but not into what its owner may put there meanwhile. */
function adviceTo(owner: number): string {
  const { XDG_RUNTIME_DIR } = process.env;
  if (ourUid() !== 0 || !XDG_RUNTIME_DIR) return '';
  return `; be that user: sudo -u '#${owner}' XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR} relisten …`;
}

function ourUid(): number {
  return process.geteuid?.() ?? 0;
}

function cannot(verb: string, path: string, cause: unknown): RelistenError {
  const advice = process.env.XDG_RUNTIME_DIR
    ? 'look at XDG_RUNTIME_DIR, it must exist and be your own'
    : 'set XDG_RUNTIME_DIR to a directory of your own that can be written';
  return new RelistenError(`Cannot ${verb} ${path}: ${codeOf(cause)}; ${advice}`, {
    code: codeOf(cause) ?? 'EIO',
    op: verb === 'make' ? 'mkdir' : 'open',
    cause,
  });
}
