import { readFileSync } from 'node:fs';
import type { ProcessIds } from '../kernel/process.ts';
import { startTicks } from '../kernel/procfs.ts';

/**
 * The processes of a generation, main process first where it still exists: those of its session, and whatever descends
 * from one of them. Zombies do not count.
 *
 * @param main pid of the main process, which leads the session
 * @param isStray tells of one that is not in the main process's session, nor descends from it, whether it belongs here all
 * the same
 */
export function familyOf(
  main: number,
  all: readonly ProcessIds[],
  isStray: (ids: ProcessIds) => boolean = () => false,
): ProcessIds[] {
  const members = new Set<number>([main]);
  for (const ids of all) if (ids.sid === main || isStray(ids)) members.add(ids.pid);
  for (let grown = true; grown; ) {
    grown = false;
    for (const { pid, ppid } of all) {
      if (members.has(pid) || !members.has(ppid)) continue;
      members.add(pid);
      grown = true;
    }
  }
  const family = all.filter(ids => members.has(ids.pid) && !ids.zombie);
  return family.sort((a, b) => Number(b.pid === main) - Number(a.pid === main));
}

/**
 * Who takes the place of a main process that has ended well: the process of its session that a server's own upgrade has
 * started, and that has the listeners by now. A program that goes into the background makes a session of its own (daemon(7)).
 *
 * | left in the session                         | is it                                                        |
 * |---------------------------------------------|--------------------------------------------------------------|
 * | one, or a child of it, that has a listener  | yes                                                          |
 * | several                                     | the youngest: old workers may still finish what they have    |
 * | none that has a listener                    | nobody                                                       |
 *
 * @param listening processes that have a listener of the server open
 */
export function successorIn(
  family: readonly ProcessIds[],
  session: number,
  listening: ReadonlySet<number>,
  startOf: (pid: number) => number | undefined = startTicks,
): number | undefined {
  const members = new Map(family.map(ids => [ids.pid, ids]));
  const topOf = (ids: ProcessIds): ProcessIds => {
    const parent = members.get(ids.ppid);
    return parent ? topOf(parent) : ids;
  };
  const tops = family.filter(({ pid }) => listening.has(pid)).map(topOf);
  const successors = tops.filter(({ sid }) => sid === session).map(({ pid }) => pid);
  return successors.sort((a, b) => (startOf(b) ?? 0) - (startOf(a) ?? 0) || b - a)[0];
}

/**
 * Whom the stop signal goes to: the server, not the shell or npm that started it, which may swallow the signal or pass
 * it on a second time; and not a server's own workers, which their master ends in good order.
 *
 * | process                            | gets the signal                                        |
 * |------------------------------------|--------------------------------------------------------|
 * | main, no wrapper                   | yes, and nobody else                                   |
 * | main, a wrapper with children      | no; each child does, or its children if it is another  |
 * | main, a wrapper without children   | yes                                                    |
 * | main is gone, others are left      | every one whose parent is not itself among them        |
 */
export function stopTargets(
  main: number,
  family: readonly ProcessIds[],
  isWrapper: (pid: number) => boolean,
): number[] {
  const pids = new Set(family.map(ids => ids.pid));
  const childrenOf = (pid: number) => family.filter(ids => ids.ppid === pid).map(ids => ids.pid);
  const below = (pid: number): number[] => {
    const children = childrenOf(pid);
    return isWrapper(pid) && children.length > 0 ? children.flatMap(below) : [pid];
  };
  if (pids.has(main)) return below(main);
  return family.filter(ids => !pids.has(ids.ppid)).flatMap(ids => below(ids.pid));
}

const SHELLS = new Set(['sh', 'bash', 'dash', 'ash', 'zsh', 'ksh', 'time', 'timeout']);
const NODE_RUNNERS = /(?:^|\/)(?:npm|npx|yarn|pnpm|bun|corepack)(?:-cli)?(?:\.c?js)?$/;

/** Whether a process only starts others and waits: a shell, npm and its like. */
export function isWrapper(pid: number): boolean {
  let argv: string[];
  try {
    argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
  } catch {
    return false;
  }
  const [title = ''] = argv;
  // npm and its like write their title over the command line: "npm exec tsx src/server.ts".
  if (/^(?:npm|npx|yarn|pnpm)(?: |$)/.test(title)) return true;
  const program = title.replace(/^-/, '').replace(/.*\//, '');
  if (program === 'node') return argv[1] !== undefined && NODE_RUNNERS.test(argv[1]);
  return SHELLS.has(program === 'busybox' ? (argv[1] ?? '') : program);
}
