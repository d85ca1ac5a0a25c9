import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { RelistenError } from '../errors.ts';
import { close } from '../kernel/fd.ts';
import type { ExitStatus } from './generation.ts';
import { Output, type Tapping } from './output.ts';
import type { Reaper } from './reaper.ts';
import { endThread, takeThread } from './spawn-thread.ts';

/** What the worker thread is told. Descriptors in stdio stay the caller's. */
export interface SpawnOrder {
  command: string[];
  cwd: string;
  env: NodeJS.ProcessEnv;
  uid?: number;
  gid?: number;
  /** Index is the child's descriptor, value is ours. */
  stdio: number[];
  intercept: boolean;
}

/** What the thread is told: to load what it needs, then to spawn, or that it is not needed. */
export type SpawnMessage = 'prepare' | 'end' | SpawnOrder;

export type SpawnReply =
  | { type: 'spawned'; pid: number; notifyFd?: number; noNewPrivileges?: boolean; whyNot?: string }
  | { type: 'failed'; code: string; message: string; notifyFd?: number }
  | ({ type: 'exited' } & ExitStatus);

/** A command that runs. */
export interface Spawned {
  pid: number;
  /** Of seccomp, where the command is intercepted; the caller's to close. */
  notifyFd?: number;
  /** Why it is not intercepted although it was to be. */
  whyNot?: string;
  /** Setuid programs below do not gain privileges. */
  noNewPrivileges: boolean;
  /** The caller's to close once the command has ended. */
  output: Output;
  /** Resolves once, when the command's main process has ended and was reaped. */
  exit: Promise<ExitStatus>;
}

interface Stage {
  worker: Worker;
  output: Output;
}

/**
 * Spawns commands, each from a worker thread of its own. One stage, the thread and the pipes, is set in advance, so
 * that a restart does not wait for it.
 */
export class Spawner {
  readonly #reaper: Reaper;
  readonly #tapped: Tapping;
  #stage: Stage | undefined;

  constructor(reaper: Reaper, tapped: Tapping) {
    this.#reaper = reaper;
    this.#tapped = tapped;
  }

  /** Sets the stage for the next command; done while nobody waits. */
  prepare(): Stage {
    this.#stage ??= setStage(this.#tapped);
    return this.#stage;
  }

  /**
   * @param listeners descriptors that the command gets from 3 on
   * @throws RelistenError `ERR_COMMAND_NOT_FOUND` or `ERR_COMMAND_NOT_EXECUTABLE`, or the code of what failed
   */
  async spawn(order: Omit<SpawnOrder, 'stdio'>, listeners: number[]): Promise<Spawned> {
    const { worker, output } = this.prepare();
    this.#stage = undefined;
    this.#reaper.expect();
    const early = new Promise<ExitStatus>(fulfil => {
      worker.on('message', (reply: SpawnReply) => {
        if (reply.type === 'exited') fulfil({ code: reply.code, signal: reply.signal });
      });
    });
    const ended = new Promise(fulfil => worker.once('exit', fulfil));
    worker.ref();
    worker.postMessage({ ...order, stdio: [...output.stdio, ...listeners] } satisfies SpawnOrder);
    const reply = await firstReply(worker);
    if (reply.type === 'spawned') {
      const { pid, notifyFd, whyNot, noNewPrivileges = false } = reply;
      output.start();
      return { pid, notifyFd, whyNot, noNewPrivileges, output, exit: this.#reaper.exitOf(pid, early) };
    }
    this.#reaper.notSpawned();
    await ended;
    await output.close();
    if (reply.type === 'failed' && reply.notifyFd !== undefined) close(reply.notifyFd);
    throw cannotSpawn(order, reply);
  }

  async close(): Promise<void> {
    const stage = this.#stage;
    if (!stage) return;
    this.#stage = undefined;
    await stage.output.close();
    await endThread(stage.worker);
  }
}

function setStage(tapped: Tapping): Stage {
  const output = new Output(tapped);
  const worker = takeThread();
  worker.postMessage('prepare' satisfies SpawnMessage);
  return { worker, output };
}

function firstReply(worker: Worker): Promise<SpawnReply> {
  return new Promise(fulfil => {
    worker.once('message', fulfil);
    worker.once('error', (error: Error) => fulfil({ type: 'failed', code: 'EIO', message: error.message }));
  });
}

const WHY: Record<string, [code: string, why: string]> = {
  ENOENT: ['ERR_COMMAND_NOT_FOUND', 'no such command, or the interpreter that its first line names is missing'],
  EACCES: ['ERR_COMMAND_NOT_EXECUTABLE', 'not executable for this user'],
  ENOEXEC: ['ERR_COMMAND_NOT_EXECUTABLE', 'not a program that the kernel can execute'],
};

function cannotSpawn(
  { command: [file = ''], env }: Pick<SpawnOrder, 'command' | 'env'>,
  reply: SpawnReply,
): RelistenError {
  const failure = reply.type === 'failed' ? reply : { code: 'EIO', message: 'it ended at once' };
  // execvp(3) says EACCES as soon as one directory of PATH may not be searched.
  const isNowhere = failure.code === 'EACCES' && !file.includes('/') && !isInPath(file, env.PATH);
  const [code, why] = WHY[isNowhere ? 'ENOENT' : failure.code] ?? [failure.code, failure.message];
  return new RelistenError(`Cannot run ${file}: ${why}`, { code, op: 'spawn' });
}

function isInPath(file: string, path = ''): boolean {
  return path.split(':').some(directory => existsSync(join(directory, file)));
}
