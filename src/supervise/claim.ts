import { existsSync, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_UNIX_PATH_BYTES } from '../address.ts';
import { RelistenError } from '../errors.ts';
import { close } from '../kernel/fd.ts';
import { tryLock } from '../kernel/flock.ts';
import { fileOf, isSameFile } from '../kernel/stat.ts';
import { removePrivateDirectory } from './private-directory.ts';
import { makeRuntimeDirectory, namesWith } from './runtime-dir.ts';

/** What a supervisor alone may use, as long as it lives: a name, and the files that are called by it. */
export class Claim {
  readonly #runtime: string;
  #name: string;
  /** Descriptor of the locked file. */
  #lock: number;

  /** @param lock the claim's from here on */
  constructor(runtime: string, name: string, lock: number) {
    this.#runtime = runtime;
    this.#name = name;
    this.#lock = lock;
  }

  get name(): string {
    return this.#name;
  }

  /** The directory of all of it. */
  get runtime(): string {
    return this.#runtime;
  }

  /** Of the control socket. What a dead supervisor left there may be removed. */
  get socket(): string {
    return socketOf(this.#runtime, this.#name);
  }

  /** Private to the supervisor; see private-directory.ts. */
  get directory(): string {
    return directoryOf(this.#runtime, this.#name);
  }

  /** Whether others find the lock: where it was removed, another may have the name, and all that is called by it, by now. */
  get isIntact(): boolean {
    return isAt(lockOf(this.#runtime, this.#name), this.#lock);
  }

  /**
   * Claims the name again where its lock was removed; where another has claimed it meanwhile, the next free one like it.
   *
   * @throws RelistenError where the runtime directory is gone, and cannot be made
   */
  renew(): void {
    makeRuntimeDirectory(this.#runtime);
    const { name, lock } = takeNameLike(this.#runtime, this.#name);
    close(this.#lock);
    this.#name = name;
    this.#lock = lock;
  }

  /** Removes all of it. */
  release(): void {
    if (this.isIntact) {
      // Where a state file is left, a generation outlives us and goes on looking there.
      if (!existsSync(`${this.directory}.json`)) removePrivateDirectory(this.directory);
      rmSync(this.socket, { force: true });
      rmSync(lockOf(this.#runtime, this.#name), { force: true });
    }
    close(this.#lock);
  }
}

const lockOf = (runtime: string, name: string) => join(runtime, `${name}.lock`);
const socketOf = (runtime: string, name: string) => join(runtime, `${name}.sock`);
const directoryOf = (runtime: string, name: string) => join(runtime, `${name}.d`);

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
  const lock = takeName(runtime, name);
  return lock === undefined ? undefined : new Claim(runtime, name, lock);
}

/** Claims the name, or else the first free one of name-2, name-3, …. */
export function claimNameLike(runtime: string, wanted: string): Claim {
  const { name, lock } = takeNameLike(runtime, wanted);
  return new Claim(runtime, name, lock);
}

function takeNameLike(runtime: string, wanted: string): { name: string; lock: number } {
  for (let number = 1; ; number++) {
    const name = number === 1 ? wanted : `${wanted}-${number}`;
    const lock = takeName(runtime, name);
    if (lock !== undefined) return { name, lock };
  }
}

/** @returns the descriptor of its lock; undefined where a live supervisor has it */
function takeName(runtime: string, name: string): number | undefined {
  checkLength(join(directoryOf(runtime, name), LONGEST_SOCKET));
  return takeLock(lockOf(runtime, name));
}

/** The name of the live supervisor that runs as this process. */
export function nameOf(runtime: string, pid: number): string | undefined {
  return namesWith('.lock', runtime).find(name => readPid(lockOf(runtime, name)) === pid && isClaimed(runtime, name));
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
  const fd = openLock(lockOf(runtime, name), 'r');
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
    if (isAt(path, fd)) {
      ftruncateSync(fd);
      writeSync(fd, String(process.pid));
      return fd;
    }
    close(fd);
  }
}

/** Whether the path names this open file, and not another one. */
function isAt(path: string, fd: number): boolean {
  return isSameFile(path, fileOf(fd));
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
