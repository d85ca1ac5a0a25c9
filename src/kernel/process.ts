import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { KernelError } from './errno.ts';
import { call } from './libc.ts';
import { pids } from './procfs.ts';

/*
 * prctl(2) and waitid(2): what a supervisor must do about processes that Node has no words for.
 */

const PR_SET_CHILD_SUBREAPER = 36;

/** Orphans below us become our children, so that we reap them and may still read them (prctl(2), Linux 3.4). */
export function becomeSubreaper(): void {
  call('prctl', [PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0], 'PR_SET_CHILD_SUBREAPER, 1');
}

const P_ALL = 0;
const P_PID = 1;
const WNOHANG = 1;
const WSTOPPED = 2;
const WEXITED = 4;
const WNOWAIT = 0x01000000;
const CLD_EXITED = 1;
/** Up to here si_code tells of an end (CLD_EXITED, CLD_KILLED, CLD_DUMPED). */
const CLD_DUMPED = 3;
const ESRCH = 3;
/** sizeof(siginfo_t), and where its fields are on 64-bit systems. */
const SIGINFO_BYTES = 128;
const SI_CODE = 8;
const SI_PID = 16;
const SI_STATUS = 24;

/** Looks for a child that has ended, without reaping it; undefined when there is none. */
export function peekExit(): number | undefined {
  return waitFor(P_ALL, 0, WNOHANG | WEXITED | WNOWAIT)?.pid;
}

/** How a process ended: with a code, or by a signal. */
interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** Reaps a child that has ended; undefined where it has not, or is none of ours. */
export function reap(pid: number): Exit | undefined {
  return waitFor(P_PID, pid, WNOHANG | WEXITED)?.exit;
}

function waitFor(type: number, id: number, options: number): { pid: number; exit: Exit } | undefined {
  const info = Buffer.alloc(SIGINFO_BYTES);
  try {
    call('waitid', [type, id, info, options]);
  } catch {
    return undefined; // ECHILD: nobody to wait for
  }
  const pid = info.readInt32LE(SI_PID);
  if (pid === 0) return undefined;
  const status = info.readInt32LE(SI_STATUS);
  if (info.readInt32LE(SI_CODE) === CLD_EXITED) return { pid, exit: { code: status, signal: null } };
  return { pid, exit: { code: null, signal: signalName(status) } };
}

/** Null for a real-time signal, which Node has no name for. */
function signalName(number: number): NodeJS.Signals | null {
  const names = Object.keys(constants.signals) as NodeJS.Signals[];
  return names.find(name => constants.signals[name] === number) ?? null;
}

/**
 * Waits until a child that we trace stops, and takes note of the stop (ptrace(2)).
 *
 * @returns the signal it stopped at, with the ptrace event above the lowest 8 bits
 * @throws KernelError ESRCH where it has ended; that is left for others to take note of
 */
export function awaitStop(pid: number): number {
  const info = Buffer.alloc(SIGINFO_BYTES);
  call('waitid', [P_PID, pid, info, WSTOPPED | WEXITED | WNOWAIT], `${pid}, WSTOPPED`);
  if (info.readInt32LE(SI_CODE) <= CLD_DUMPED) throw new KernelError('waitid', ESRCH, `${pid}, WSTOPPED`);
  call('waitid', [P_PID, pid, info, WSTOPPED], `${pid}, WSTOPPED`);
  return info.readInt32LE(SI_STATUS);
}

/** A process's place in the trees that the kernel keeps. */
export interface ProcessIds {
  pid: number;
  /** A letter of proc_pid_stat(5). */
  state: string;
  /** Ended with all its threads, and not reaped yet: the main thread alone may end before the others (pthread_exit(3)). */
  zombie: boolean;
  ppid: number;
  pgid: number;
  sid: number;
}

/**
 * A process and all that descend from it, itself first: by /proc/PID/task/TID/children (proc_pid_task(5), Linux 3.5), which
 * costs nothing on a host with many processes; by a look at all of them where the kernel was built without that.
 */
export function descendants(pid: number): ProcessIds[] {
  const own = processIds(pid);
  if (!own) return [];
  const children = childrenOf(pid);
  if (children) return [own, ...children.flatMap(descendants)];
  const all = allProcessIds();
  const below = (parent: ProcessIds): ProcessIds[] => {
    return [parent, ...all.filter(ids => ids.ppid === parent.pid).flatMap(below)];
  };
  return below(own);
}

/** Undefined where the kernel does not tell. */
function childrenOf(pid: number): number[] | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    return threads.flatMap(tid => {
      const text = readFileSync(`/proc/${pid}/task/${tid}/children`, 'utf8');
      return text.split(' ').filter(Boolean).map(Number);
    });
  } catch {
    return undefined;
  }
}

/** Position in /proc/PID/stat after the command, which is field 2 (proc_pid_stat(5)). */
const NUM_THREADS = 20 - 3;

/** Every process that /proc shows. */
export function allProcessIds(): ProcessIds[] {
  return pids()
    .map(pid => processIds(pid))
    .filter(ids => ids !== undefined);
}

/**
 * Fields 3 to 6 and 20 of /proc/PID/stat (proc_pid_stat(5)): state, parent, process group, session and how many threads there
 * are; undefined when it is gone.
 */
export function processIds(pid: number): ProcessIds | undefined {
  try {
    // As UTF-8 Node reads into its own stack; anything else costs 64 KiB of heap, and this is read by the hundred.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command in parentheses may itself contain spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ', NUM_THREADS + 1);
    const [state = '', ppid, pgid, sid] = fields;
    const zombie = state === 'Z' && Number(fields[NUM_THREADS]) <= 1;
    return { pid, state, zombie, ppid: Number(ppid), pgid: Number(pgid), sid: Number(sid) };
  } catch {
    return undefined;
  }
}

/**
 * Whether signals wait for a process to have the processor again, which may be its end (SigPnd of its main thread, and ShdPnd:
 * proc_pid_status(5)). A signal that ends all of it waits in each thread, as SIGKILL (complete_signal(), Linux 6.18).
 */
export function hasSignalsToTake(pid: number): boolean {
  return /^(?:SigPnd|ShdPnd):\s+0*[1-9a-f]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}

/** Whether this process is in the foreground of its terminal: fields 5, 7 and 8 of proc_pid_stat(5). */
export function isInForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const [, , pgrp, , terminal, foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return terminal !== '0' && pgrp === foreground;
}
