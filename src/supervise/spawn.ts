import { type ChildProcess, spawn } from 'node:child_process';
import { RelistenError } from '../errors.ts';
import { codeOf, isShortage } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import type { Poller } from '../kernel/poll.ts';
import { seqpacketPair } from '../kernel/scm-rights.ts';
import { withListenPid } from './child-env.ts';
import type { ExitStatus } from './generation.ts';
import { holdLifeline, type Lifeline } from './lifeline.ts';
import { Output, type Tapping } from './output.ts';
import type { Reaper } from './reaper.ts';
import { type Role, Spare } from './spare.ts';
import { beginningOf, isRunBy, Standby } from './standby.ts';

/** What every command of a supervisor is spawned with. */
export interface SpawnerOptions {
  reaper: Reaper;
  tapped: Tapping;
  uid?: number;
  gid?: number;
  intercept: boolean;
  /** At which descriptors the command will have listeners, as those before it had; undefined where nobody has seen one. */
  listensAt(): readonly number[] | undefined;
  /** Whether the next command may begin in advance. */
  standby: boolean;
  poller: Poller;
  /** The next command is up, and waits: its pid. */
  onStandby(pid: number): void;
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
  /** What goes on for it when we are killed; the caller's to release once nobody of it is left. */
  lifeline: Lifeline;
}

/** What the next command starts with. */
interface Stage {
  output: Output;
  /** Descriptors that it gets from 3 on. */
  listeners: readonly number[];
  spare?: Spare;
  /** Why there is no spare, where there was to be one. */
  whyNot?: string;
  /** Our end of what the spare would wait at; until there is a standby, which then owns it. */
  gate?: number;
  standby?: Standby;
  lifeline?: Lifeline;
}

/** How many spares somebody may end while a restart waits for one. */
const ATTEMPTS = 3;

/** Spawns commands, each under a filter of its own. One stage is set in advance, so that a restart does not wait for it. */
export class Spawner {
  readonly #options: SpawnerOptions;
  #stage: Stage | undefined;
  /** Stages that were set for something else than what came, until they are cleared. */
  readonly #struck = new Set<Promise<void>>();

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
    let stage: Stage | undefined;
    try {
      stage = this.#setStage(listeners, true);
      if (stage.spare) this.#startOutput(stage, stage.spare.child);
    } catch {
      // There are too few descriptors or processes now; there may be enough at the restart.
      if (stage) this.#clear(stage);
      return;
    }
    if (!stage.spare) {
      this.#clear(stage);
      return;
    }
    this.#stage = stage;
    // Whoever has killed it has not killed the next command.
    stage.spare.child.once('exit', () => {
      if (this.#stage === stage) this.#strike();
    });
  }

  /**
   * Has the next command begin already, and wait; done while nobody waits for us.
   *
   * @param pid of the generation that runs; only what begins as it did can be known to wait
   */
  standBy(role: Role, pid: number): void {
    const stage = this.#stage;
    const beginning = beginningOf(role);
    if (!stage?.spare || stage.gate === undefined || !beginning || !isRunBy(pid, beginning.program)) return;
    const { spare, gate } = stage;
    const { poller, onStandby } = this.#options;
    stage.gate = undefined;
    try {
      const env = withOwnPid(role.env, spare);
      const wanted = { role: { ...role, env }, beginning, gate, poller };
      stage.standby = new Standby(spare, wanted, () => onStandby(Number(spare.child.pid)));
    } catch {
      this.#strike(); // the restart will meet the same, and say so
    }
  }

  /** The process that waits to be the next generation. */
  get standby(): number | undefined {
    return this.#stage?.standby?.waits ? this.#stage.spare?.child.pid : undefined;
  }

  /** @throws RelistenError `ERR_COMMAND_NOT_FOUND` or `ERR_COMMAND_NOT_EXECUTABLE`, or the code of what failed */
  async spawn(role: Role, listeners: readonly number[]): Promise<Spawned> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#enter(role, listeners);
      } catch (error) {
        if (!wasEnded(error) || attempt === ATTEMPTS) throw cannotSpawn(role.command[0] ?? '', error);
      }
    }
  }

  async #enter(role: Role, listeners: readonly number[]): Promise<Spawned> {
    const stage = this.#stageFor(role, listeners);
    const { output, spare, standby, whyNot } = stage;
    let child = spare?.child;
    try {
      if (spare && !standby) spare.become({ ...role, env: withOwnPid(role.env, spare) });
      child ??= await this.#spawnPlain(stage, role);
      const lifeline = stage.lifeline ?? this.#startOutput(stage, child);
      const exit = exitOf(child);
      return { pid: Number(child.pid), notifyFd: spare?.notifyFd, whyNot, output, exit, lifeline };
    } catch (error) {
      child?.kill('SIGKILL');
      await strike(stage);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#strike();
    await Promise.all(this.#struck);
  }

  #strike(): void {
    const stage = this.#stage;
    this.#stage = undefined;
    if (stage) this.#clear(stage);
  }

  #clear(stage: Stage): void {
    const struck = strike(stage).finally(() => this.#struck.delete(struck));
    this.#struck.add(struck);
  }

  #startOutput(stage: Stage, child: ChildProcess): Lifeline {
    const { spare, output } = stage;
    const lifelines = { pid: Number(child.pid), notifyFd: spare?.notifyFd, taps: output.taps };
    stage.lifeline = holdLifeline(lifelines, this.#options.reaper);
    output.start(); // it is lent our end of its pipes, which are ours to read from here on
    return stage.lifeline;
  }

  /** A standby of it goes on from here. */
  #stageFor(role: Role, listeners: readonly number[]): Stage {
    const { standby } = this.#stage ?? {};
    if (this.#stage && !isSetFor(this.#stage, role, listeners)) this.#strike();
    else if (standby && !standby.begin()) this.#strike();
    const stage = this.#stage ?? this.#setStage(listeners, false);
    this.#stage = undefined;
    if (stage.gate !== undefined) close(stage.gate);
    stage.gate = undefined;
    return stage;
  }

  /**
   * @param ahead nobody waits for the command yet, so that it may have to wait itself
   * @throws KernelError where there are too few descriptors or processes now; ESRCH where somebody has ended the spare
   */
  #setStage(listeners: readonly number[], ahead: boolean): Stage {
    const { intercept, listensAt, standby, tapped, uid, gid, reaper } = this.#options;
    const output = new Output(tapped);
    if (!intercept) return { output, listeners };
    let gate: [ours: number, its: number] | undefined;
    try {
      if (ahead && standby) gate = seqpacketPair();
      const stdio = [...output.stdio, ...listeners];
      const onChild = (child: ChildProcess) => reaper.leave(child);
      const spare = new Spare({ stdio, gate: gate?.[1], listensAt: listensAt(), uid, gid, onChild });
      return { output, listeners, spare, gate: gate?.[0] };
    } catch (error) {
      if (gate) close(gate[0]);
      // Without a filter the command would not get its listeners, and with the next one it may.
      if (isShortage(error) || wasEnded(error)) {
        void output.close();
        throw error;
      }
      return { output, listeners, whyNot: error instanceof Error ? error.message : String(error) };
    } finally {
      if (gate) close(gate[1]);
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

/** Somebody has ended the spare meanwhile; that is no fault of the command's, nor of the system's. */
function wasEnded(error: unknown): boolean {
  return codeOf(error) === 'ESRCH';
}

/** Clears a stage that nobody has entered. */
async function strike({ output, spare, gate, standby, lifeline }: Stage): Promise<void> {
  standby?.close();
  if (gate !== undefined) close(gate);
  await Promise.all([output.close(), spare?.discard()]);
  lifeline?.release();
}

function isSetFor({ listeners, spare, standby }: Stage, role: Role, wanted: readonly number[]): boolean {
  if (String(listeners) !== String(wanted)) return false;
  return !spare || !standby || standby.fits({ ...role, env: withOwnPid(role.env, spare) });
}

/** sd_listen_fds(3): the pid is known, as the process is there already. */
function withOwnPid(env: NodeJS.ProcessEnv, { child }: Spare): NodeJS.ProcessEnv {
  return env.LISTEN_FDS === undefined ? env : { ...env, LISTEN_PID: String(child.pid) };
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
