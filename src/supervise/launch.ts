import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatAddress } from '../address.ts';
import { collectGarbage } from '../kernel/heap.ts';
import type { Poller } from '../kernel/poll.ts';
import { ownersOf } from '../kernel/proc-fd.ts';
import type { Binder } from './binder.ts';
import { childEnv } from './child-env.ts';
import type { EventFacts } from './events.ts';
import type { ExitStatus } from './generation.ts';
import type { HeldListener, Holder } from './holder.ts';
import { Interception } from './intercept.ts';
import { watchForListener } from './listen-watch.ts';
import { NotifySocket } from './notify-socket.ts';
import type { SuperviseOptions } from './options.ts';
import { Readiness } from './ready.ts';
import type { Reaper } from './reaper.ts';
import type { Running } from './running.ts';
import { Spawner } from './spawn.ts';
import { findUser, type User } from './user.ts';

/** After a restart, the next one's stage is set when the old generation has had the processor for a while. */
const PREPARE_AFTER_MS = 500;

export interface LauncherHost {
  holder: Holder;
  poller: Poller;
  reaper: Reaper;
  binder: Binder;
  emit(facts: EventFacts): void;
}

/** What a launch tells of its main process. */
export interface LaunchWatcher {
  onSpawned(pid: number): void;
  onExit(exit: ExitStatus): void;
}

/** Starts generations: environment, listeners, spawn, interception, and the wait for readiness. */
export class Launcher {
  readonly #options: SuperviseOptions;
  readonly #directory: string;
  readonly #host: LauncherHost;
  readonly #spawner: Spawner;
  readonly #user: User | undefined;
  readonly #hook: string | undefined;
  #prepare: NodeJS.Timeout | undefined;
  /** Whose announcement is written down. */
  readonly #announced = new WeakSet<Running>();

  /** @param directory private to this supervisor, and readable by the user that the command runs as */
  constructor(options: SuperviseOptions, directory: string, host: LauncherHost) {
    this.#options = options;
    this.#directory = directory;
    this.#host = host;
    this.#user = options.user === undefined ? undefined : findUser(options.user);
    this.#hook = options.hook;
    this.#spawner = new Spawner({
      reaper: host.reaper,
      tapped: {
        stdin: options.stdin,
        stdout: options.ready.line !== undefined,
        stderr: options.ready.line !== undefined || !process.stderr.isTTY,
      },
      uid: this.#user?.uid,
      gid: this.#user?.gid,
      intercept: options.intercept,
    });
  }

  /** While nobody waits: sets the stage for the next command. */
  prepareLater(): void {
    clearTimeout(this.#prepare);
    this.#prepare = setTimeout(() => {
      this.#spawner.prepare(this.#passed.map(listener => listener.fd));
      collectGarbage();
    }, PREPARE_AFTER_MS);
    this.#prepare.unref();
  }

  async close(): Promise<void> {
    clearTimeout(this.#prepare);
    await this.#spawner.close();
  }

  /**
   * Spawns a generation and waits until it is ready.
   *
   * @param expected listeners of the generation before it
   * @throws RelistenError where it cannot be spawned, or is not ready in time
   */
  async launch(running: Running, expected: HeldListener[], watcher: LaunchWatcher): Promise<void> {
    const { poller } = this.#host;
    const readiness = new Readiness(this.#options, {
      expected: new Set(expected),
      has: inode => this.#isOpenIn(running, inode),
      signal: running.starting.signal,
    });
    const notify = new NotifySocket(
      this.#directory,
      running.number,
      poller,
      notice => {
        if ('ready' in notice) return readiness.onNotify();
        running.status = notice.status;
        this.#host.emit({ type: 'status', generation: running.number, text: notice.status });
      },
      this.#user?.uid,
    );
    void running.gone.then(() => notify.close());
    running.spawning = this.#spawn(running, notify, readiness, watcher);
    await running.spawning;
    await readiness.ready;
  }

  async #spawn(
    running: Running,
    notify: NotifySocket,
    readiness: Readiness,
    { onSpawned, onExit }: LaunchWatcher,
  ): Promise<void> {
    const { command, cwd } = this.#options;
    const passed = this.#passed;
    const env = childEnv(this.#options, {
      generation: running.number,
      directory: this.#directory,
      notifySocket: notify.path,
      listeners: passed,
      user: this.#user,
      hook: this.#hook,
    });
    const spawned = await this.#spawner.spawn(
      { command, cwd, env },
      passed.map(listener => listener.fd),
    );
    running.pid = spawned.pid;
    running.output = spawned.output;
    this.#host.emit({ type: 'spawned', generation: running.number, pid: spawned.pid });
    spawned.output.onLine(line => readiness.onLine(line));
    for (const listener of passed) {
      listener.generations.add(running.number);
      readiness.onPassed(listener);
    }
    if (spawned.whyNot !== undefined) this.#host.emit({ type: 'unintercepted', reason: spawned.whyNot });
    if (spawned.notifyFd !== undefined) this.#intercept(running, spawned.notifyFd, readiness);
    else if (passed.length === 0) watchForListener(running, () => readiness.onListen(undefined));
    void spawned.exit.then(onExit);
    void running.gone.then(spawned.releaseLifeline);
    void running.gone.then(() => rmSync(this.#announcementOf(running), { force: true }));
    onSpawned(spawned.pid);
  }

  /** What the user named with -p, in that order. */
  get #passed(): HeldListener[] {
    return this.#host.holder.listeners.filter(listener => listener.pinned);
  }

  #intercept(running: Running, notifyFd: number, readiness: Readiness): void {
    const { holder, poller, binder, emit } = this.#host;
    running.interception = new Interception(notifyFd, running.number, {
      holder,
      poller,
      bind: (fd, wanted) => readiness.untimed(() => binder.bindFor(running, fd, wanted)),
      isOpenInGeneration: listener => this.#isOpenIn(running, listener.inode),
      onListen: (listener, isNew) => {
        if (listener && isNew)
          emit({ type: 'listening', generation: running.number, address: formatAddress(listener.address) });
        readiness.onListen(listener);
      },
      onNotice: text => emit({ type: 'notice', text }),
      onEmpty: () => {
        if (running.exit) running.finish();
      },
    });
  }

  #isOpenIn(running: Running, inode: number): boolean {
    const owners = ownersOf(new Set([inode])).get(inode) ?? [];
    const family = new Set(running.family().map(ids => ids.pid));
    return owners.some(pid => family.has(pid));
  }

  /** Tells the processes of all generations who is ready: who hands off looks here for whom to hand off to. */
  announce(running: Running): void {
    if (!this.#announced.has(running)) this.prepareAnnouncement(running);
    renameSync(this.#announcementOf(running), join(this.#directory, 'ready.json'));
  }

  /** Writes it down while nobody waits for it. */
  prepareAnnouncement(running: Running): void {
    const facts = { generation: running.number, pid: running.pid, session: running.pid };
    writeFileSync(this.#announcementOf(running), JSON.stringify(facts), { mode: 0o644 });
    this.#announced.add(running);
  }

  #announcementOf({ number }: Running): string {
    return join(this.#directory, `ready-${number}.json`);
  }
}
