import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { KernelError } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import { pipe } from '../kernel/pipe.ts';
import { Tracee } from '../kernel/ptrace.ts';

/** What a process has from the beginning. Descriptors stay the caller's. */
export interface Body {
  /** Index is the child's descriptor, value is ours. */
  stdio: readonly number[];
  uid?: number;
  gid?: number;
  /** Is told of each process that is started for it, in the turn of the event loop that does. */
  onChild?(child: ChildProcess): void;
}

export const SHELL = '/bin/sh';
const EAGAIN = 11;
const ATTEMPTS = 5;

/**
 * Starts a process that waits, and stops it there: a shell that never runs a line. What keeps it waiting is its stdin; what
 * was to be that is its last descriptor.
 *
 * @throws KernelError where it cannot be traced; ESRCH where somebody has ended it meanwhile
 */
export function holdProcess(body: Body): { child: ChildProcess; tracee: Tracee } {
  for (let attempt = 1; ; attempt++) {
    const gate = pipe();
    const child = startWaiting(body, gate.read);
    body.onChild?.(child);
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
