import type { ChildProcess } from 'node:child_process';
import { F_SETFD, FD_CLOEXEC } from '../kernel/constants.ts';
import { codeOf, KernelError } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import type { Tracee } from '../kernel/ptrace.ts';
import { installFilter } from '../kernel/seccomp.ts';
import { findCommand } from './find-command.ts';
import { type Body, holdProcess, SHELL } from './held-process.ts';

/** What a process has from the beginning. Descriptors stay the caller's. */
export interface SpareBody extends Body {
  /** What it gets as its next descriptor, and the command only where it is told to: see {@link Spare.passGate}. */
  gate?: number;
  /** At which descriptors the command will have listeners, if that is known. */
  listensAt?: readonly number[];
}

/** What it becomes. */
export interface Role {
  command: readonly string[];
  cwd: string;
  env: NodeJS.ProcessEnv;
  /** What else it reads before the program's first line. */
  reads?: readonly string[];
}

/**
 * A process that is under the seccomp filter, stopped, and becomes the command when it is told to, so that a restart
 * waits for nothing but execve(2). It is a shell that never runs a line, held by ptrace(2), and dies with us.
 */
export class Spare {
  readonly child: ChildProcess;
  /** Of seccomp; the caller's to close once there is a command. */
  readonly notifyFd: number;
  readonly #tracee: Tracee;
  /** Its own number for the gate. */
  readonly #gate: number;

  /**
   * @throws KernelError where it cannot be traced, or cannot have the filter: below another such supervisor (EBUSY); ESRCH where
   * somebody has ended it meanwhile
   */
  constructor(body: SpareBody) {
    const passed = body.gate === undefined ? body.stdio : [...body.stdio, body.gate];
    const { child, tracee } = holdProcess({ ...body, stdio: passed });
    this.child = child;
    this.#tracee = tracee;
    this.#gate = body.stdio.length;
    try {
      // What it was kept waiting by makes way for its own stdin, which came last.
      tracee.call('dup3', [passed.length, 0, 0]);
      tracee.call('close', [passed.length]);
      if (body.gate !== undefined) tracee.call('fcntl', [this.#gate, F_SETFD, FD_CLOEXEC]);
      this.notifyFd = installFilter(tracee, body.listensAt);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  /**
   * Has the command get the gate as well.
   *
   * @returns the number that it has there
   */
  passGate(): number {
    this.#tracee.call('fcntl', [this.#gate, F_SETFD, 0]);
    return this.#gate;
  }

  /**
   * Becomes the command.
   *
   * @throws KernelError of chdir(2) or execve(2); it is a spare as before then
   */
  become({ command, cwd, env }: Role): void {
    const [file = '', ...args] = command;
    this.#tracee.chdir(cwd);
    let failure: unknown = new KernelError('execve', ENOENT, file);
    for (const path of findCommand(file, cwd, env.PATH)) {
      try {
        this.#execve(path, [file, ...args], env);
        return;
      } catch (error) {
        // As execvp(3): what may not be executed in one directory may be found in the next.
        if (codeOf(error) !== 'EACCES') throw error;
        failure = error;
      }
    }
    throw failure;
  }

  #execve(path: string, argv: string[], env: NodeJS.ProcessEnv): void {
    try {
      this.#tracee.execve(path, argv, env);
    } catch (error) {
      if (codeOf(error) !== 'ENOEXEC') throw error;
      // A script whose first line does not say what runs it.
      this.#tracee.execve(SHELL, [SHELL, path, ...argv.slice(1)], env);
    }
  }

  /** Ends it, whatever it is by now, and lets go of it. Resolves when it is gone. */
  async discard(): Promise<void> {
    close(this.notifyFd);
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise(fulfil => this.child.once('exit', fulfil));
    this.child.ref();
    this.child.kill('SIGKILL');
    await ended;
  }
}

const ENOENT = 2;
