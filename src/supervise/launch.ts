import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { formatAddress } from '../address.ts';
import { meetingPaths } from '../handoff/rendezvous.ts';
import type { SeenListener } from '../kernel/all-listeners.ts';
import type { Poller } from '../kernel/poll.ts';
import { ownersOf } from '../kernel/proc-fd.ts';
import { executableOf } from '../kernel/procfs.ts';
import type { Binder } from './binder.ts';
import { childEnv } from './child-env.ts';
import { clientsOn } from './clients.ts';
import type { EventFacts } from './events.ts';
import type { ExitStatus } from './generation.ts';
import type { HeldListener, Holder } from './holder.ts';
import { Interception } from './intercept.ts';
import { watchForListener, watchForUnseen } from './listen-watch.ts';
import { collide } from './match.ts';
import { type Notice, NotifySocket, notifyPath } from './notify-socket.ts';
import type { SuperviseOptions } from './options.ts';
import { openOneFamily } from './ports.ts';
import { Preparations } from './preparations.ts';
import { beside, type Home, makePrivateDirectory, moveInto, unlinkQuietly, writeBeside } from './private-directory.ts';
import { Readiness } from './ready.ts';
import type { Reaper } from './reaper.ts';
import type { Running } from './running.ts';
import { settled } from './settle.ts';
import type { Role } from './spare.ts';
import { Spawner } from './spawn.ts';
import { findUser, type User } from './user.ts';
import { watchAgain } from './watch-again.ts';

export interface LauncherHost {
  holder: Holder;
  poller: Poller;
  reaper: Reaper;
  binder: Binder;
  /** Every generation that is not gone. */
  generations(): Running[];
  /** Whether relisten is ending, and leaves nobody who serves. */
  isOver(): boolean;
  emit(facts: EventFacts): void;
  /** It listens where held listeners are, whose addresses overlap, and does not only look. */
  onKept(running: Running): void;
}

/** What a launch tells of its main process. */
export interface LaunchWatcher {
  onSpawned(pid: number): void;
  onExit(exit: ExitStatus): void;
}

/** Starts generations: environment, listeners, spawn, interception, and the wait for readiness. */
export class Launcher {
  readonly #options: SuperviseOptions;
  readonly #home: Home;
  readonly #host: LauncherHost;
  readonly #spawner: Spawner;
  readonly #user: User | undefined;
  readonly #hook: string | undefined;
  readonly #preparations = new Preparations();
  /** By generation. */
  readonly #notifies = new Map<number, NotifySocket>();
  readonly #roles = new WeakMap<Running, Role>();
  /** Whose announcement is written down. */
  readonly #announced = new WeakSet<Running>();
  #shutdownsAreDear = false;

  /** @param home its directory is readable by the user that the command runs as */
  constructor(options: SuperviseOptions, home: Home, host: LauncherHost) {
    this.#options = options;
    this.#home = home;
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
      listensAt: () => this.#listensAt,
      standby: options.standbyMs !== undefined && options.hook !== undefined,
      poller: host.poller,
      onStandby: pid => host.emit({ type: 'standby', pid }),
    });
  }

  /**
   * While nobody waits: sets the stage for the next command, and has it begin if it can wait.
   *
   * @param current what runs now
   * @param next number of the generation that will be next
   */
  prepareLater(current: Running, next: number): void {
    const { standbyMs, slowStartMs } = this.#options;
    this.#preparations.begin({
      setStage: () => this.#setStage(),
      standBy: () => this.#standBy(current, next),
      // Before that, three processes would share the processors with the clients.
      standbyMs: standbyMs === undefined ? undefined : standbyMs + slowStartMs,
    });
  }

  /** Nothing is prepared any more, until {@link prepareLater} is called again. */
  cancelPreparations(): void {
    this.#preparations.cancel();
  }

  #setStage(): void {
    this.#spawner.prepare(this.#passed.map(listener => listener.fd));
  }

  /** The process that waits to be the next generation, if any does. */
  get standby(): number | undefined {
    return this.#spawner.standby;
  }

  /** False where nobody has consented yet. */
  #standBy(current: Running, next: number): boolean {
    if (current.pid === undefined || !existsSync(this.#consentOf(current))) return false;
    this.#setStage();
    try {
      const role = this.#roleOf(next);
      // Who has consented was told nothing else; an env file that was changed may tell Node to do something.
      if (role.env.NODE_OPTIONS === this.#roles.get(current)?.env.NODE_OPTIONS) {
        this.#spawner.standBy(role, current.pid);
      }
    } catch {
      // The env file cannot be read: the restart will say so, if it is still so.
    }
    return true;
  }

  async close(): Promise<void> {
    this.cancelPreparations();
    await this.#spawner.close();
  }

  /**
   * Spawns a generation and waits until it is ready.
   *
   * @param expected listeners of the generation before it; undefined where there was none
   * @throws RelistenError where it cannot be spawned, or is not ready in time
   */
  async launch(running: Running, expected: HeldListener[] | undefined, watcher: LaunchWatcher): Promise<void> {
    this.cancelPreparations();
    const readiness = new Readiness(this.#options, {
      expected: expected && new Set(expected),
      has: inode => this.#isOpenIn(running, inode),
      isAlone: listener => isAlone(running, listener),
      onMissing: missing => this.#host.emit({ type: 'notice', text: describeMissing(running.number, missing) }),
      settled: listeners => settled(running, listeners, inode => this.#clientsAt(inode)),
      onUnsettled: ms => this.#host.emit({ type: 'notice', text: describeUnsettled(running.number, ms) }),
      signal: running.starting.signal,
    });
    this.#hear(running, notice => {
      if ('ready' in notice) return readiness.onNotify();
      running.status = notice.status;
      this.#host.emit({ type: 'status', generation: running.number, text: notice.status });
    });
    running.spawning = this.#spawn(running, readiness, watcher);
    await running.spawning;
    await readiness.ready;
    // What it has opened beside the old one's listeners is not to be left deaf when that ends.
    await running.interception?.known();
  }

  /** Opens its notify socket; without one, where that cannot be and its readiness does not depend on it. */
  #hear(running: Running, onNotice: (notice: Notice) => void): void {
    const { number } = running;
    try {
      const notify = new NotifySocket(this.#home.directory, number, this.#host.poller, onNotice, this.#user?.uid);
      this.#notifies.set(number, notify);
      void running.gone.then(() => {
        this.#notifies.delete(number);
        notify.close();
      });
    } catch (error) {
      if (this.#options.ready.notify) throw error;
      const why = error instanceof Error ? error.message : String(error);
      this.#host.emit({ type: 'notice', text: `Generation ${number} can say nothing by sd_notify: ${why}` });
    }
  }

  /**
   * Makes again what was removed of the private directory and beside it.
   *
   * @param current who is ready, and said to be that in it
   * @returns whether anything was missing
   * @throws the file system's error
   */
  restore(current: Running | undefined): boolean {
    const { directory } = this.#home;
    const isMissing = !existsSync(directory);
    if (isMissing) {
      makePrivateDirectory(directory, this.#user?.uid);
      if (current) {
        this.prepareAnnouncement(current);
        this.announce(current);
      }
    }
    // A path that is called by the name that we had is another's.
    const unheard = [...this.#notifies].filter(
      ([number, notify]) => notify.path === notifyPath(directory, number) && !notify.isIntact,
    );
    for (const [, notify] of unheard) notify.restore();
    return isMissing || unheard.length > 0;
  }

  async #spawn(running: Running, readiness: Readiness, { onSpawned, onExit }: LaunchWatcher): Promise<void> {
    const passed = this.#passed;
    const role = this.#roleOf(running.number);
    const spawned = await this.#spawner.spawn(
      role,
      passed.map(listener => listener.fd),
    );
    this.#roles.set(running, role);
    running.pid = spawned.pid;
    running.output = spawned.output;
    this.#host.emit({ type: 'spawned', generation: running.number, pid: spawned.pid });
    spawned.output.onLine(line => readiness.onLine(line));
    passed.forEach((listener, index) => {
      listener.generations.add(running.number);
      listener.descriptors.add(FIRST_PASSED + index);
      readiness.onPassed(listener);
    });
    if (spawned.whyNot !== undefined) this.#host.emit({ type: 'unintercepted', reason: spawned.whyNot });
    const { notifyFd, lifeline } = spawned;
    if (notifyFd !== undefined) this.#intercept(running, notifyFd, readiness, id => lifeline.waits(id));
    else if (passed.length === 0) watchForListener(running, seen => readiness.onUnheld(seen.map(one => one.inode)));
    void spawned.exit.then(onExit);
    // Who outlives the generation under its filter is not to be left alone with it, should we end first.
    void Promise.all([running.gone, running.interception?.empty]).then(() => lifeline.release());
    const consent = this.#consentOf(running);
    void running.gone.then(() => {
      unlinkQuietly(beside(this.#home.directory, `ready-${running.number}`));
      unlinkQuietly(consent);
      for (const path of meetingPaths(this.#home.directory, running.number)) unlinkQuietly(path);
    });
    onSpawned(spawned.pid);
  }

  /** What a generation is to be, in the environment of now. @throws RelistenError where the env file cannot be read */
  #roleOf(generation: number): Role {
    const { command, cwd } = this.#options;
    const env = childEnv(this.#options, {
      generation,
      directory: this.#home.directory,
      notifySocket: notifyPath(this.#home.directory, generation),
      listeners: this.#passed,
      user: this.#user,
      hook: this.#hook,
    });
    return { command, cwd, env, reads: this.#hook === undefined ? [] : [this.#hook] };
  }

  /** Only where to ask about any descriptor was dear: a program may have its listeners elsewhere the next time. */
  get #listensAt(): number[] | undefined {
    if (!this.#shutdownsAreDear) return undefined;
    const seen = this.#host.holder.listeners.flatMap(({ descriptors }) => [...descriptors]);
    return seen.length === 0 ? undefined : [...new Set(seen)];
  }

  /** What the user named with -p, in that order. */
  get #passed(): HeldListener[] {
    return this.#host.holder.listeners.filter(listener => listener.pinned);
  }

  #intercept(running: Running, notifyFd: number, readiness: Readiness, onWaiting: (id: bigint) => void): void {
    const { holder, poller, binder, reaper, isOver, emit } = this.#host;
    const interception = new Interception(notifyFd, running.number, {
      holder,
      poller,
      bind: (fd, wanted) => readiness.untimed(() => binder.bindFor(running, fd, wanted)),
      listenBeside: (fd, backlog, identity) => binder.listenBeside(fd, backlog, identity),
      onKept: listener => this.#onKept(running, listener),
      openOneFamily: (named, wanted) => readiness.untimed(() => openOneFamily(named, wanted, holder, binder)),
      isOpenInGeneration: listener => this.#isOpenIn(running, listener.inode),
      isOpenInSameProgram: (listener, pid) => this.#isOpenInSameProgram(running, listener, pid),
      mayEnd: listener => isOver() && !listener.inherited,
      watchAgain: (caller, entries, { fd }) => watchAgain(caller, entries, fd, child => reaper.leave(child)),
      onListen: (listener, pid, isNew) => {
        if (running.state === 'starting') running.listening.add(pid);
        if (listener && isNew)
          emit({ type: 'listening', generation: running.number, address: formatAddress(listener.address) });
        if (listener) readiness.onListen(listener);
        else readiness.onKernelPort();
      },
      onManyShutdowns: () => {
        this.#shutdownsAreDear = true;
      },
      onNotice: text => emit({ type: 'notice', text }),
      onWaiting,
      onEmpty: () => {
        if (running.exit) running.finish();
      },
    });
    running.interception = interception;
    watchForUnseen(
      running,
      inode => interception.knows(inode),
      unseen => {
        emit({ type: 'notice', text: describeUnseen(running.number, unseen) });
        readiness.onUnheld(unseen.map(one => one.inode));
      },
    );
  }

  /** Those that are in its way it does not want any more, although it may have looked there. */
  #onKept(running: Running, listener: HeldListener): void {
    const inItsWay = this.#host.holder.listeners.filter(held => collide(held, listener));
    for (const { inode, generations } of inItsWay) {
      if (!this.#isOpenIn(running, inode)) generations.delete(running.number);
    }
    this.#host.onKept(running);
  }

  /** Most often it is the main process of another generation that tells; else all that has the listener open is looked for. */
  #isOpenInSameProgram(running: Running, { inode, generations }: HeldListener, pid: number): boolean {
    const program = executableOf(pid);
    if (program === undefined) return false;
    const runsIt = (other: number | undefined) => other !== undefined && executableOf(other) === program;
    const others = this.#host.generations().filter(one => one !== running && generations.has(one.number));
    if (others.length === 0) return false;
    return others.some(one => runsIt(one.pid)) || othersWith(running, inode).some(runsIt);
  }

  #clientsAt(inode: number): Set<number> {
    return clientsOn(this.#host.holder.listeners.filter(listener => listener.inode === inode));
  }

  #isOpenIn(running: Running, inode: number): boolean {
    const owners = ownersOf(new Set([inode])).get(inode) ?? [];
    const family = new Set(running.family().map(ids => ids.pid));
    return owners.some(pid => family.has(pid));
  }

  /** Tells the processes of all generations who is ready: who hands off looks here for whom to hand off to. */
  announce(running: Running): void {
    if (!this.#announced.has(running)) this.prepareAnnouncement(running);
    moveInto(this.#home.directory, `ready-${running.number}`, 'ready.json');
  }

  /** Writes it down while nobody waits for it. */
  prepareAnnouncement(running: Running): void {
    const facts = { generation: running.number, pid: running.pid, session: running.session };
    writeBeside(this.#home.directory, `ready-${running.number}`, JSON.stringify(facts));
    this.#announced.add(running);
  }

  /** Written by the hook of its main process, where the same command would wait (hook/consent.ts). */
  #consentOf({ number, pid }: Running): string {
    return join(this.#home.directory, `may-stand-by-${number}-${pid}`);
  }
}

/** Whether nobody but this generation, and we, have it open. */
function isAlone(running: Running, { inode }: HeldListener): boolean {
  return othersWith(running, inode).length === 0;
}

/** Processes of other generations that have it open. */
function othersWith(running: Running, inode: number): number[] {
  const family = new Set(running.family().map(ids => ids.pid));
  const owners = ownersOf(new Set([inode]), () => false).get(inode) ?? [];
  return owners.filter(owner => owner !== process.pid && !family.has(owner));
}

/** SD_LISTEN_FDS_START, sd_listen_fds(3). */
const FIRST_PASSED = 3;

function describeMissing(generation: number, missing: readonly HeldListener[]): string {
  const addresses = missing.map(({ address }) => formatAddress(address)).join(', ');
  return `Generation ${generation} does not listen on ${addresses} yet, which the one before it does: it gets more time`;
}

function describeUnsettled(generation: number, ms: number): string {
  return `Generation ${generation} listens, but does not wait for clients yet: it gets ${Math.round(ms / 1000)} s for that, and counts as ready then`;
}

function describeUnseen(generation: number, listeners: readonly SeenListener[]): string {
  const shown = listeners.map(({ address }) => formatAddress(address)).join(', ');
  return `Generation ${generation} listens on ${shown}, but not by listen(2) (io_uring?): it is not held, and --no-intercept --strategy stop-first restarts it`;
}
