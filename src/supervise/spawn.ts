import { type ChildProcess, spawn } from 'node:child_process';
import { RelistenError } from '../errors.ts';
import { codeOf } from '../kernel/errno.ts';
import { withListenPid } from './child-env.ts';
import type { ExitStatus } from './generation.ts';
import { holdLifeline } from './lifeline.ts';
import { Output, type Tapping } from './output.ts';
import type { Reaper } from './reaper.ts';
import { type Role, Spare } from './spare.ts';

/** What every command of a supervisor is spawned with. */
export interface SpawnerOptions {
  reaper: Reaper;
  tapped: Tapping;
  uid?: number;
  gid?: number;
  intercept: boolean;
}

/** A command that runs. */
export interface Spawned {
  pid: number;
  /** Of seccomp, where the command is intercepted; the caller's to close. */
  notifyFd?: number;
  /** Why it is not intercepted although it was to be. */
  whyNot?: string;
  /** The caller's to close once the command has ended. */
  output: Output;
  /** Resolves once, when the command's main process has ended and was reaped. */
  exit: Promise<ExitStatus>;
  /** Ends what goes on for it when we are killed, see lifeline.ts; the caller's to call once nobody of it is left. */
  releaseLifeline: () => void;
}

/** What the next command starts with. */
interface Stage {
  output: Output;
  /** Descriptors that it gets from 3 on. */
  listeners: readonly number[];
  spare?: Spare;
  /** Why there is no spare, where there was to be one. */
  whyNot?: string;
  releaseLifeline?: () => void;
}

/** Spawns commands, each under a filter of its own. One stage is set in advance, so that a restart does not wait for it. */
export class Spawner {
  readonly #options: SpawnerOptions;
  #stage: Stage | undefined;

  constructor(options: SpawnerOptions) {
    this.#options = options;
  }

  /**
   * Sets the stage for the next command; done while nobody waits.
   *
   * @param listeners descriptors that the command gets from 3 on
   */
  prepare(listeners: readonly number[]): void {
    if (this.#stage) return;
    this.#stage = this.#setStage(listeners);
    if (this.#stage.spare) this.#startOutput(this.#stage, this.#stage.spare.child);
  }

  /** @throws RelistenError `ERR_COMMAND_NOT_FOUND` or `ERR_COMMAND_NOT_EXECUTABLE`, or the code of what failed */
  async spawn(role: Role, listeners: readonly number[]): Promise<Spawned> {
    const stage = await this.#stageWith(listeners);
    const { output, spare, whyNot } = stage;
    try {
      const child = spare ? enter(spare, role) : await this.#spawnPlain(stage, role);
      const releaseLifeline = stage.releaseLifeline ?? this.#startOutput(stage, child);
      return {
        pid: Number(child.pid),
        notifyFd: spare?.notifyFd,
        whyNot,
        output,
        exit: exitOf(child),
        releaseLifeline,
      };
    } catch (error) {
      await strike(stage);
      throw cannotSpawn(role.command[0] ?? '', error);
    }
  }

  async close(): Promise<void> {
    const stage = this.#stage;
    this.#stage = undefined;
    if (stage) await strike(stage);
  }

  #startOutput(stage: Stage, child: ChildProcess): () => void {
    const { spare, output } = stage;
    const lifelines = { pid: Number(child.pid), notifyFd: spare?.notifyFd, taps: output.taps };
    stage.releaseLifeline = holdLifeline(lifelines, this.#options.reaper);
    output.start(); // it is lent our end of its pipes, which are ours to read from here on
    return stage.releaseLifeline;
  }

  async #stageWith(listeners: readonly number[]): Promise<Stage> {
    if (this.#stage && String(this.#stage.listeners) !== String(listeners)) await this.close();
    const stage = this.#stage ?? this.#setStage(listeners);
    this.#stage = undefined;
    return stage;
  }

  #setStage(listeners: readonly number[]): Stage {
    const { intercept, tapped, uid, gid, reaper } = this.#options;
    const output = new Output(tapped);
    if (!intercept) return { output, listeners };
    try {
      const spare = new Spare({ stdio: [...output.stdio, ...listeners], uid, gid });
      reaper.leave(spare.child);
      return { output, listeners, spare };
    } catch (error) {
      return { output, listeners, whyNot: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Without a filter, the usual way. */
  async #spawnPlain({ output, listeners, whyNot }: Stage, { command, cwd, env }: Role): Promise<ChildProcess> {
    const { uid, gid, reaper } = this.#options;
    if (whyNot !== undefined) env.RELISTEN_INTERCEPT = '0';
    const [file = '', ...args] = env.LISTEN_FDS === undefined ? command : withListenPid(command);
    const stdio = [...output.stdio, ...listeners];
    const child = spawn(file, args, { cwd, env, uid, gid, stdio, detached: true });
    child.unref();
    if (child.pid === undefined) {
      await new Promise((_, reject) => {
        child.once('error', reject);
      });
    }
    reaper.leave(child);
    return child;
  }
}

/** Clears a stage that nobody has entered. */
async function strike({ output, spare, releaseLifeline }: Stage): Promise<void> {
  await Promise.all([output.close(), spare?.discard()]);
  releaseLifeline?.();
}

function enter(spare: Spare, { command, cwd, env }: Role): ChildProcess {
  if (env.LISTEN_FDS !== undefined) env.LISTEN_PID = String(spare.child.pid);
  spare.become({ command, cwd, env });
  return spare.child;
}

function exitOf(child: ChildProcess): Promise<ExitStatus> {
  return new Promise(fulfil => {
    child.once('exit', (code, signal) => fulfil({ code, signal }));
  });
}

const WHY: Record<string, [code: string, why: string]> = {
  ENOENT: ['ERR_COMMAND_NOT_FOUND', 'no such command, or the interpreter that its first line names is missing'],
  EACCES: ['ERR_COMMAND_NOT_EXECUTABLE', 'not executable for this user'],
  ENOEXEC: ['ERR_COMMAND_NOT_EXECUTABLE', 'not a program that the kernel can execute'],
};

function cannotSpawn(file: string, error: unknown): RelistenError {
  const message = error instanceof Error ? error.message : String(error);
  const known = (error as { op?: unknown }).op === 'chdir' ? undefined : WHY[codeOf(error) ?? ''];
  const [code, why] = known ?? [codeOf(error) ?? 'EIO', message];
  return new RelistenError(`Cannot run ${file}: ${why}`, { code, op: 'spawn', cause: error });
}
