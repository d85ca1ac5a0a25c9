import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { F_SETFD, FD_CLOEXEC } from '../kernel/constants.ts';
import { codeOf, KernelError } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import { pipe } from '../kernel/pipe.ts';
import { Tracee } from '../kernel/ptrace.ts';
import { installFilter } from '../kernel/seccomp.ts';
import { findCommand } from './find-command.ts';

/** What a process has from the beginning. Descriptors stay the caller's. */
export interface Body {
  /** Index is the child's descriptor, value is ours. */
  stdio: readonly number[];
  /** What it gets as its next descriptor, and the command only where it is told to: see {@link Spare.passGate}. */
  gate?: number;
  uid?: number;
  gid?: number;
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

  /** @throws KernelError where it cannot be traced, or cannot have the filter: below another such supervisor (EBUSY) */
  constructor(body: Body) {
    const passed = body.gate === undefined ? body.stdio : [...body.stdio, body.gate];
    const { child, tracee } = hold({ ...body, stdio: passed });
    this.child = child;
    this.#tracee = tracee;
    this.#gate = body.stdio.length;
    try {
      // What it was kept waiting by makes way for its own stdin, which came last.
      tracee.call('dup3', [passed.length, 0, 0]);
      tracee.call('close', [passed.length]);
      if (body.gate !== undefined) tracee.call('fcntl', [this.#gate, F_SETFD, FD_CLOEXEC]);
      this.notifyFd = installFilter(tracee);
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

const SHELL = '/bin/sh';
const ENOENT = 2;
const EAGAIN = 11;
const ATTEMPTS = 5;

/** Starts something that waits, and stops it there. */
function hold(body: Body): { child: ChildProcess; tracee: Tracee } {
  for (let attempt = 1; ; attempt++) {
    const gate = pipe();
    const child = startWaiting(body, gate.read);
    try {
      // The file is there: what is missing is a descriptor, memory, or room in a process table.
      if (child.pid === undefined) throw new KernelError('fork', EAGAIN, child.spawnfile);
      const tracee = new Tracee(child.pid);
      // Too late for Node: it has begun to arrange for itself what the command would inherit.
      if (!tracee.ignoresSignals()) return { child, tracee };
      if (attempt === ATTEMPTS) throw new Error(`${child.spawnfile} cannot be stopped in time`);
      child.kill('SIGKILL');
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    } finally {
      close(gate.read);
      close(gate.write);
    }
  }
}

/** A shell waits for its first line. Where there is none, in an image with Node alone, Node waits for its script. */
function startWaiting({ stdio: [stdin = 0, ...others], uid, gid }: Body, gate: number): ChildProcess {
  const child = spawn(existsSync(SHELL) ? SHELL : process.execPath, [], {
    argv0: 'relisten-spare',
    cwd: '/',
    env: {},
    uid,
    gid,
    stdio: [gate, ...others, stdin],
    // A session and process group of its own, so that all of it can be signalled, and Ctrl-C reaches relisten alone.
    detached: true,
  });
  child.on('error', () => {}); // it has no pid then
  child.unref();
  return child;
}
