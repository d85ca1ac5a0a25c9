import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { uptime } from 'node:os';
import type { ProcessFacts } from '../inspection.ts';

/*
 * Processes as /proc shows them (proc(5)). Everything here reads and nothing throws for a process that has gone, or that
 * the caller may not look into: it is then as if it were not there.
 */

/** Every process, by number. */
export function pids(): number[] {
  return list('/proc')
    .map(Number)
    .filter(pid => pid > 0);
}

/** Who and what a process is; undefined when it is gone. */
export function processFacts(pid: number): ProcessFacts | undefined {
  const status = read(`/proc/${pid}/status`);
  const stat = statFields(pid);
  if (status === undefined || stat === undefined) return undefined;
  const argv = argumentsOf(pid);
  // Real, effective, saved, file system (proc_pid_status(5)): what the kernel compares is the effective one.
  const uid = Number(/^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1] ?? 0);
  const ppid = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  const facts: ProcessFacts = {
    pid,
    command: formatCommand(argv) || `[${/^Name:\s+(.*)$/m.exec(status)?.[1] ?? 'unknown'}]`,
    argv,
    uid,
    user: userNames().get(uid) ?? String(uid),
    ppid,
    orphaned: isOrphan(pid),
    startedAt: Math.round(Date.now() - uptime() * 1000 + Number(stat[STARTTIME]) * MS_PER_TICK),
  };
  const cwd = workingDirectory(pid);
  if (cwd !== undefined) facts.cwd = cwd;
  const parent = ppid > 1 ? formatCommand(argumentsOf(ppid)) : '';
  if (parent !== '') facts.parent = parent;
  const unit = serviceOf(read(`/proc/${pid}/cgroup`) ?? '');
  if (unit !== undefined) facts.unit = unit;
  return facts;
}

/** Whether our own effective set has a capability, by its number (capabilities(7)); no where /proc does not tell. */
export function hasCapability(number: number): boolean {
  const effective = /^CapEff:\s+([\da-f]+)/m.exec(read('/proc/self/status') ?? '')?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> BigInt(number)) & 1n) === 1n;
}

/** Positions in /proc/PID/stat after the command, which is field 2 (proc_pid_stat(5)). */
const PPID = 4 - 3;
const SESSION = 6 - 3;
const FLAGS = 9 - 3;
const STARTTIME = 22 - 3;
/** starttime counts in USER_HZ, which is 100 on every architecture that Node runs on (time(7)). */
const MS_PER_TICK = 10;

/** The fields of /proc/PID/stat from the third on. */
function statFields(pid: number): string[] | undefined {
  const stat = read(`/proc/${pid}/stat`);
  // The command in parentheses may itself contain spaces and parentheses.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/**
 * When a process started, in clock ticks since boot: field 22 of /proc/PID/stat (proc_pid_stat(5)). Together with the
 * pid it names a process for good, as pids are used again. Undefined when it is gone.
 */
export function startTicks(pid: number): number | undefined {
  const ticks = statFields(pid)?.[STARTTIME];
  return ticks === undefined ? undefined : Number(ticks);
}

/**
 * Whether what started a process has ended. A process is in its parent's session unless it made its own, whose number is
 * then its pid (setsid(2)): one that is in neither was born elsewhere and has been given to pid 1 or a subreaper.
 */
export function isOrphan(pid: number): boolean {
  const stat = statFields(pid);
  const [ppid, session] = [Number(stat?.[PPID]), Number(stat?.[SESSION])];
  return stat !== undefined && ppid !== 0 && session !== pid && Number(statFields(ppid)?.[SESSION]) !== session;
}

/** include/linux/sched.h: since do_exit(), before it lets go of its memory. */
const PF_EXITING = 0x4;

/**
 * Whether a process or thread has ended, or is about to. Without memory its files in /proc are root's alone
 * (task_dump_owner(), fs/proc/base.c), until it is reaped: an ordinary user may not look into it any more.
 */
export function isEnding(tid: number): boolean {
  const stat = statFields(tid);
  return stat === undefined || (Number(stat[FLAGS]) & PF_EXITING) !== 0;
}

/** The systemd service in a control group's path (cgroups(7), /proc/PID/cgroup); not the one that runs a user's session. */
export function serviceOf(cgroup: string): string | undefined {
  const services = [...cgroup.matchAll(/[^/\n]+\.service(?=[/\n]|$)/g)].map(([name]) => name);
  const last = services.at(-1);
  return last?.startsWith('user@') ? undefined : last;
}

/** The process that started this one, or has it now; 0 for the first, undefined when it is gone. */
export function parentOf(pid: number): number | undefined {
  const ppid = statFields(pid)?.[PPID];
  return ppid === undefined ? undefined : Number(ppid);
}

/**
 * The processes that any thread of this one started and that are still its own (proc_tid_children(5)); undefined where
 * the kernel does not tell (CONFIG_PROC_CHILDREN).
 */
export function childrenOf(pid: number): number[] | undefined {
  const lists = list(`/proc/${pid}/task`).map(tid => read(`/proc/${pid}/task/${tid}/children`));
  const known = lists.filter(text => text !== undefined);
  return known.length === 0 ? undefined : known.flatMap(text => text.split(' ').filter(Boolean).map(Number));
}

/** The process that a thread belongs to (Tgid, proc_pid_status(5)); a process's own pid for its main thread. */
export function threadGroup(tid: number): number | undefined {
  const tgid = /^Tgid:\s+(\d+)/m.exec(read(`/proc/${tid}/status`) ?? '')?.[1];
  return tgid === undefined ? undefined : Number(tgid);
}

/** What a process was started with (proc_pid_cmdline(5)). Empty for a kernel thread, a zombie, and one that is gone. */
export function argumentsOf(pid: number): string[] {
  const text = read(`/proc/${pid}/cmdline`) ?? '';
  // A program that rewrites its title (nginx, postgres) may leave NUL bytes or spaces at the end.
  const trimmed = text.replace(/[\0 ]+$/, '');
  return trimmed === '' ? [] : trimmed.split('\0');
}

/**
 * Path of what a process executes (proc_pid_exe(5)), also where another file has taken its place since; undefined where it
 * is gone, or not to be seen.
 */
export function executableOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
  } catch {
    return undefined;
  }
}

/**
 * What a process was started with, as `NAME=value` (proc_pid_environ(5)); empty where it is gone, not to be seen, or has
 * written over it.
 */
export function environmentOf(pid: number): string[] {
  return (read(`/proc/${pid}/environ`) ?? '').split('\0').filter(Boolean);
}

/**
 * The command line as a shell would take it; a title that a program gave itself is left alone. Control characters are
 * spaces here: other users choose them, and this is shown on terminals.
 */
export function formatCommand(argv: readonly string[]): string {
  const quote = (word: string) => (/^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
  const text = argv.length <= 1 ? (argv[0] ?? '') : argv.map(quote).join(' ');
  return text.replace(/\p{Cc}+/gu, ' ');
}

function workingDirectory(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined;
  }
}

let names: Map<number, string> | undefined;

/** User names of /etc/passwd (passwd(5)), read once. */
function userNames(): Map<number, string> {
  names ??= parsePasswd(read('/etc/passwd') ?? '');
  return names;
}

/** User names by uid; the first of several stands. */
export function parsePasswd(text: string): Map<number, string> {
  const found = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [name, , uid] = line.split(':');
    if (name && uid && /^\d+$/.test(uid) && !found.has(Number(uid))) found.set(Number(uid), name);
  }
  return found;
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
