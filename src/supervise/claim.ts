import { existsSync, fstatSync, ftruncateSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_UNIX_PATH_BYTES } from '../address.ts';
import { RelistenError } from '../errors.ts';
import { close } from '../kernel/fd.ts';
import { tryLock } from '../kernel/flock.ts';
import { removePrivateDirectory } from './private-directory.ts';
import { namesWith } from './runtime-dir.ts';

/** What a supervisor alone may use, as long as it lives. */
export interface Claim {
  name: string;
  /** Of the control socket. What a dead supervisor left there may be removed. */
  socket: string;
  /** Private to the supervisor; see private-directory.ts. */
  directory: string;
  /** Removes all of it. */
  release(): void;
}

/** The longest name of a socket in a private directory, of those that it is known for. */
const LONGEST_SOCKET = 'handoff-10000-4194304.sock.new';

/**
 * Claims a name in a runtime directory: a lock that the kernel frees when its holder dies, so that nobody has to guess
 * whether a socket is stale.
 *
 * @param runtime see runtimeDirectory
 * @returns undefined where a live supervisor has the name
 */
export function claimName(runtime: string, name: string): Claim | undefined {
  const paths = { socket: join(runtime, `${name}.sock`), directory: join(runtime, `${name}.d`) };
  checkLength(join(paths.directory, LONGEST_SOCKET));
  const lock = join(runtime, `${name}.lock`);
  const fd = takeLock(lock);
  if (fd === undefined) return undefined;
  return {
    name,
    ...paths,
    release() {
      // Where a state file is left, a generation outlives us and goes on looking there.
      if (!existsSync(`${paths.directory}.json`)) removePrivateDirectory(paths.directory);
      rmSync(paths.socket, { force: true });
      rmSync(lock, { force: true });
      close(fd);
    },
  };
}

/** Claims the name, or else the first free one of name-2, name-3, …. */
export function claimNameLike(runtime: string, name: string): Claim {
  for (let number = 1; ; number++) {
    const claim = claimName(runtime, number === 1 ? name : `${name}-${number}`);
    if (claim) return claim;
  }
}

/** The name of the live supervisor that runs as this process. */
export function nameOf(runtime: string, pid: number): string | undefined {
  return namesWith('.lock', runtime).find(
    name => readPid(join(runtime, `${name}.lock`)) === pid && isClaimed(runtime, name),
  );
}

function readPid(lock: string): number | undefined {
  try {
    return Number(readFileSync(lock, 'latin1'));
  } catch {
    return undefined;
  }
}

/** Whether a live supervisor has the name. */
export function isClaimed(runtime: string, name: string): boolean {
  const fd = openLock(join(runtime, `${name}.lock`), 'r');
  if (fd === undefined) return false;
  try {
    return !tryLock(fd);
  } finally {
    close(fd);
  }
}

function takeLock(path: string): number | undefined {
  for (;;) {
    const fd = openSync(path, 'a', 0o600);
    if (!tryLock(fd)) {
      close(fd);
      return undefined;
    }
    // Its last holder may have removed it between our open(2) and our lock: then it locks nothing.
    if (statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) {
      ftruncateSync(fd);
      writeSync(fd, String(process.pid));
      return fd;
    }
    close(fd);
  }
}

function openLock(path: string, flags: string): number | undefined {
  try {
    return openSync(path, flags);
  } catch {
    return undefined;
  }
}

function checkLength(path: string): void {
  if (Buffer.byteLength(path) <= MAX_UNIX_PATH_BYTES) return;
  throw new RelistenError(
    `Cannot use ${path}: a unix socket's path has at most ${MAX_UNIX_PATH_BYTES} bytes; take a shorter --name or XDG_RUNTIME_DIR`,
    { code: 'ENAMETOOLONG', op: 'bind' },
  );
}
