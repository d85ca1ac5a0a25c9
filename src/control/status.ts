import { formatAddress } from '../address.ts';
import { acceptQueue } from '../kernel/backlog.ts';
import type { GenerationState } from '../supervise/generation.ts';
import type { HeldListener } from '../supervise/holder.ts';
import type { Running } from '../supervise/running.ts';
import type { Supervisor } from '../supervise/supervisor.ts';
import { describeWay, type Way } from '../supervise/way.ts';
import { countConnections } from './connections.ts';

/** What GET /status answers. Times are Unix times in ms, durations ms. */
export interface Status {
  name: string;
  /** Of the supervisor. */
  pid: number;
  version: string;
  startedAt: number;
  uptimeMs: number;
  command: string[];
  cwd: string;
  way: Way & { text: string };
  strategy: 'overlap' | 'stop-first';
  drainMs: number;
  /** How long the old generation goes on serving beside the new one; 0: not at all. */
  slowStartMs: number;
  /** It ends, and starts nothing any more. */
  stopping: boolean;
  generations: GenerationStatus[];
  listeners: ListenerStatus[];
  /** Asked for, for whatever reason. */
  restarts: number;
  crashes: number;
  /** Pid of the process that waits to be the next generation, where one does. */
  standby?: number;
}

export interface GenerationStatus {
  generation: number;
  state: GenerationState;
  /** Of its main process; missing before it is spawned. */
  pid?: number;
  startedAt: number;
  ageMs: number;
  /** When it entered its state. */
  since: number;
  connections: number;
  /** What it said of itself: STATUS= of sd_notify(3). */
  status?: string;
}

export interface ListenerStatus {
  address: string;
  /** Held because -p names it. */
  pinned: boolean;
  name?: string;
  /** Generations that listen on it. */
  generations: number[];
  /** Connections that wait to be accepted, and how many may; missing for unix sockets. */
  queue?: { waiting: number; limit: number };
}

/** What of a status does not change. */
export interface StatusFacts {
  version: string;
  startedAt: number;
  way: Way;
}

export function statusOf(supervisor: Supervisor, { version, startedAt, way }: StatusFacts): Status {
  const { name, options, holder, generations } = supervisor;
  const now = Date.now();
  const connections = countConnections(generations, holder.listeners);
  const alive = new Set(generations.map(running => running.number));
  return {
    name,
    pid: process.pid,
    version,
    startedAt,
    uptimeMs: now - startedAt,
    command: options.command,
    cwd: options.cwd,
    way: { ...way, text: describeWay(way) },
    strategy: options.strategy,
    drainMs: options.drainMs,
    slowStartMs: options.slowStartMs,
    stopping: supervisor.stopping,
    generations: generations.map(running => generationStatus(running, connections.get(running.number) ?? 0, now)),
    listeners: holder.listeners.map(listener => listenerStatus(listener, alive)),
    restarts: supervisor.restarts,
    crashes: supervisor.crashes,
    standby: supervisor.standby,
  };
}

function generationStatus(running: Running, connections: number, now: number): GenerationStatus {
  const { number: generation, state, pid, startedAt, since, status } = running;
  return { generation, state, pid, startedAt, ageMs: now - startedAt, since, connections, status };
}

function listenerStatus(listener: HeldListener, alive: ReadonlySet<number>): ListenerStatus {
  const { address, pinned, name, fd } = listener;
  return {
    address: formatAddress(address),
    pinned,
    name,
    generations: [...listener.generations].filter(number => alive.has(number)),
    queue: address.family === 'unix' ? undefined : acceptQueue(fd),
  };
}
