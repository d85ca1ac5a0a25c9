import { closeSync, existsSync, openSync, readFileSync, readSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { close } from '../kernel/fd.ts';
import { POLLIN, type Poller } from '../kernel/poll.ts';
import { hasSignalsToTake, processIds } from '../kernel/process.ts';
import { receiveFds, sendFds } from '../kernel/scm-rights.ts';
import { findCommand } from './find-command.ts';
import type { Role, Spare } from './spare.ts';

/*
 * A standby is the next generation's process, started in advance: Node is up, the hook is loaded and waits in front of the
 * program's first line (hook/standby.cts), so that of the program nothing has been read yet. A restart waits for no
 * process to boot then, and the boot does not compete with clients of the old generation.
 */

/** What the kernel makes of a command before the program's own first line. */
export interface Beginning {
  /** The program that is executed: the command's file, or what its first line names. */
  program: string;
  /** That, the file, the directory, and what Node reads at once, as they are now; to compare. */
  text: string;
}

/** Variables that name a file which Node reads before the program's first line. */
const READ_AT_ONCE = ['NODE_EXTRA_CA_CERTS', 'OPENSSL_CONF', 'SSL_CERT_FILE'];

/** Undefined where something is not there, or not for us to read. */
export function beginningOf({ command, cwd, env, reads = [] }: Role): Beginning | undefined {
  try {
    const found = (name: string) => resolve(cwd, findCommand(name, cwd, env.PATH)[0] ?? '');
    const file = found(command[0] ?? '');
    const interpreter = interpreterOf(file);
    const program = interpreter === undefined ? file : found(interpreter);
    const named = READ_AT_ONCE.flatMap(name => (env[name] ? [resolve(cwd, env[name])] : []));
    const others = [...packageOf(cwd), ...named.filter(path => existsSync(path)), ...reads];
    return { program, text: [file, program, cwd, ...others].map(identify).join(' ') };
  } catch {
    return undefined;
  }
}

/**
 * The package.json of a directory, or of the nearest one above that has one. Node has read it before it loads the hook
 * (Module._preloadModules, which resolves from the directory), and asks it again for `main`, `type` and `imports`.
 */
function packageOf(directory: string): string[] {
  for (let at = realpathSync(directory); ; at = dirname(at)) {
    const file = join(at, 'package.json');
    if (existsSync(file)) return [file];
    if (at === dirname(at)) return [];
  }
}

/** Whether a process runs what this file is now, and not one that has been replaced since. */
export function isRunBy(pid: number, file: string): boolean {
  try {
    const [running, here] = [statSync(`/proc/${pid}/exe`), statSync(file)];
    return running.dev === here.dev && running.ino === here.ino;
  } catch {
    return false; // gone, or not ours to look into
  }
}

/** More than the kernel reads of a first line (BINPRM_BUF_SIZE). */
const FIRST_LINE_BYTES = 256;

/** `node` of `#!/usr/bin/env node`; undefined where there is no such line. */
function interpreterOf(file: string): string | undefined {
  const fd = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(FIRST_LINE_BYTES);
    const text = bytes.toString('latin1', 0, readSync(fd, bytes));
    return /^#!\s*(?:\S*\/env\s+(?:-S\s+)?)?([^\s=]+)/.exec(text)?.[1];
  } finally {
    closeSync(fd);
  }
}

function identify(path: string): string {
  const stats = statSync(path);
  const { dev, ino, size, mtimeMs, ctimeMs } = stats;
  // What is in the directory has not been read. Packages are unpacked with the same mtime always.
  return stats.isDirectory() ? `${dev}:${ino}` : `${dev}:${ino}:${size}:${mtimeMs}:${ctimeMs}`;
}

/** The next generation's process, which waits. Owns our end of its gate. */
export class Standby {
  readonly #pid: number;
  readonly #role: Role;
  readonly #beginning: string;
  readonly #gate: number;
  readonly #poller: Poller;
  #waits = false;
  #closed = false;

  /**
   * Has a spare become the command already.
   *
   * @param gate our end of what the spare has the other end of; ours from here on, also where this throws
   * @param onWaiting Node is up, and waits
   * @throws KernelError as {@link Spare.become} does
   */
  constructor(
    spare: Spare,
    { role, beginning, gate, poller }: { role: Role; beginning: Beginning; gate: number; poller: Poller },
    onWaiting: () => void,
  ) {
    this.#pid = Number(spare.child.pid);
    this.#role = role;
    this.#beginning = beginning.text;
    this.#gate = gate;
    this.#poller = poller;
    poller.add(gate, POLLIN, () => {
      const received = receiveFds(gate, 1);
      if (received === 'again') return;
      poller.remove(gate); // it has ended, which others are told of, or has said all that it will
      if (received === 'end') return;
      this.#waits = true;
      onWaiting();
    });
    try {
      const env = { ...role.env, RELISTEN_STANDBY: String(spare.passGate()) };
      spare.become({ ...role, env });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Node is up, and waits in front of the program's first line. */
  get waits(): boolean {
    return this.#waits;
  }

  /** Whether it is what would be started for this role now. */
  fits(role: Role): boolean {
    const isSame = textOf(role) === textOf(this.#role) && beginningOf(role)?.text === this.#beginning;
    return isSame && !runsReplacedCode(this.#pid);
  }

  /** Lets it go on; false where it has ended, is about to, or is stopped, which others may not have been told yet. */
  begin(): boolean {
    try {
      // Before it is told: a short program may be over when this process has the processor again, and has run all the same.
      return isAwake(this.#pid) && sendFds(this.#gate, Buffer.from([1]));
    } catch {
      return false;
    } finally {
      this.close();
    }
  }

  /** Lets go of it: if it still waits, it ends. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poller.remove(this.#gate);
    close(this.#gate);
  }
}

/** A library that was updated since is still the old one in the process (proc_pid_maps(5)). */
function runsReplacedCode(pid: number): boolean {
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8');
  return /^\S+ r-xp .* \/.* \(deleted\)$/m.test(maps);
}

/** Whoever was killed on a busy machine looks well until it has the processor again. */
function isAwake(pid: number): boolean {
  const { state } = processIds(pid) ?? {};
  return state !== undefined && !['Z', 'T', 't'].includes(state) && !hasSignalsToTake(pid);
}

function textOf({ command, cwd, env }: Role): string {
  const variables = Object.entries(env).filter(([, value]) => value !== undefined);
  return JSON.stringify([command, cwd, variables.sort(([a], [b]) => (a < b ? -1 : 1))]);
}
