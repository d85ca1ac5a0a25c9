import { execFile } from 'node:child_process';
import { overlaps } from '../bind/overlap.ts';
import type { ProcessFacts, SocketFacts, SocketState } from '../inspection.ts';
import { lsofArguments, parseLsof, parseLsofCwd } from '../kernel/lsof.ts';
import { parseBsdNetstat, parseWindowsNetstat } from '../kernel/netstat.ts';
import { cimArguments, parseCim, parsePs, psArguments } from '../kernel/ps.ts';
import type { ToolSocket } from '../kernel/tool-socket.ts';
import type { TcpAddress } from './facts.ts';
import { NOT_TRIED, type TcpFacts } from './tcp.ts';

/** Runs a program and answers its stdout; '' where it is missing or takes too long. */
export type Run = (program: string, args: string[]) => Promise<string>;

/** Whatever the tools say is needed for one answer; slower ones are given up. */
const TIMEOUT_MS = 10_000;

const run: Run = (program, args) =>
  new Promise(fulfil => {
    const options = {
      timeout: TIMEOUT_MS,
      maxBuffer: 64 << 20,
      env: { ...process.env, LC_ALL: 'C' },
      windowsHide: true,
    };
    // lsof exits with 1 where it found nothing, or could not see everything.
    execFile(program, args, options, (_error, stdout) => fulfil(stdout));
  });

/** What the system's own tools show, where relisten cannot ask the kernel: lsof and netstat on macOS, netstat on Windows. */
export async function inspectByTools(
  target: TcpAddress,
  platform: NodeJS.Platform = process.platform,
  execute: Run = run,
): Promise<TcpFacts> {
  const windows = platform === 'win32';
  const all = await (windows ? readWindows(execute) : readUnix(target.port, execute));
  const inTheWay = all.filter(({ local }) => overlaps({ address: local }, { address: target }));
  const pids = [...new Set(inTheWay.flatMap(({ pid }) => pid ?? []))];
  const processes = await (windows ? describeWindows(pids, execute) : describeUnix(pids, execute));
  const counts: Partial<Record<SocketState, number>> = {};
  for (const { state } of inTheWay) counts[state] = (counts[state] ?? 0) + 1;
  const facts = inTheWay.map(socket => toFacts(socket, processes));
  return {
    target,
    listeners: facts.filter(({ state }) => state === 'LISTEN'),
    blockers: facts.filter(({ state }) => state !== 'LISTEN').slice(0, 100),
    counts,
    longestMs: undefined,
    trials: [],
    listeningPorts: new Set(),
    unseen: [NOT_TRIED, `${windows ? 'netstat' : 'lsof and netstat'} told what is there, and not how long it stays`],
  };
}

async function readWindows(execute: Run): Promise<ToolSocket[]> {
  const texts = await Promise.all(['TCP', 'TCPv6'].map(protocol => execute('netstat', ['-ano', '-p', protocol])));
  return texts.flatMap(parseWindowsNetstat);
}

/** lsof knows the processes, netstat the sockets that have none. */
async function readUnix(port: number, execute: Run): Promise<ToolSocket[]> {
  const [lsof, netstat] = await Promise.all([
    execute('lsof', lsofArguments(port)).then(parseLsof),
    execute('netstat', ['-an', '-p', 'tcp']).then(parseBsdNetstat),
  ]);
  const key = ({ local, peer }: ToolSocket) => JSON.stringify([local, peer]);
  const known = new Set(lsof.map(key));
  return [...lsof, ...netstat.filter(socket => !known.has(key(socket)))].filter(({ local }) => local.port === port);
}

type Processes = ReadonlyMap<number, ProcessFacts>;

async function describeWindows(pids: readonly number[], execute: Run): Promise<Processes> {
  if (pids.length === 0) return new Map();
  return byPid(parseCim(await execute('powershell.exe', cimArguments(pids))));
}

async function describeUnix(pids: readonly number[], execute: Run): Promise<Processes> {
  if (pids.length === 0) return new Map();
  const [processes, folders] = await Promise.all([
    execute('ps', psArguments(pids)).then(parsePs),
    Promise.all(pids.map(pid => execute('lsof', ['-a', '-d', 'cwd', '-p', String(pid), '-Fn']).then(parseLsofCwd))),
  ]);
  const cwds = new Map(pids.map((pid, index) => [pid, folders[index]]));
  return byPid(processes.map(facts => ({ ...facts, cwd: cwds.get(facts.pid) })));
}

function byPid(processes: readonly ProcessFacts[]): Processes {
  return new Map(processes.map(facts => [facts.pid, facts]));
}

function toFacts({ local, peer, state, pid }: ToolSocket, processes: Processes): SocketFacts {
  const owner = pid === undefined ? undefined : processes.get(pid);
  // These systems number their sockets for nobody.
  const facts: SocketFacts = { local, state, inode: 0, uid: owner?.uid ?? 0, owners: owner ? [owner] : [] };
  return peer === undefined ? facts : { ...facts, peer };
}
