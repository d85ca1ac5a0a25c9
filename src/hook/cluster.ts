import type { ChildProcess } from 'node:child_process';
import type { Cluster, Worker } from 'node:cluster';
import type { Server } from 'node:net';

/*
 * node:cluster. Under round robin the primary accepts and passes each connection on, so it must stop first: a connection
 * that reaches a worker which has just closed is passed to another, and to nobody if that was the last. It passes one at a
 * time to each worker, and keeps the others until one has said that it has it (RoundRobinHandle, since Node 0.12): so it
 * asks the workers, over the same channel, until they have said so of none between question and answer. Its last word goes
 * over that channel too, and so arrives after the last connection.
 *
 * | policy      | who accepts | on the stop signal, whoever of them gets it                                 |
 * |-------------|-------------|-----------------------------------------------------------------------------|
 * | round robin | the primary | it closes its listener, passes on what it has, and says so; the workers accept until then, and drain |
 * | none        | the workers | the primary says so, each drains                                            |
 * | both        |             | the primary ends when its workers have                                      |
 *
 * A program may disconnect its workers at the stop signal, as the manual does: that would close what the primary has not
 * passed on, and what the workers hand off, so it happens when all has been passed on, and a worker itself does so when it
 * has drained.
 */

/** Node delivers messages that begin with NODE_ as 'internalMessage', out of the program's sight. A worker sends it in begin.cts. */
const CMD = 'NODE_RELISTEN';

interface ClusterMessage {
  cmd: typeof CMD;
  /** From a worker: `listening`, `here`. To a worker: `stopping`, `ask`, which it answers with `here`, and `closed`. */
  act: 'listening' | 'here' | 'stopping' | 'ask' | 'closed';
  /** With `closed`: the primary's program ends the worker by disconnecting it. */
  disconnects?: boolean;
}

/** How long a worker accepts while it hears nothing of its primary. */
const PRIMARY_WAIT_MS = 2_000;
/** How long the primary waits for the answer of a worker. */
const ANSWER_MS = 1_000;

/** In a worker: whether its connections come from the primary; its listener is then no handle of libuv. */
export function isRoundRobin(server: Server): boolean {
  const handle: unknown = Reflect.get(server, '_handle');
  return typeof handle === 'object' && handle !== null && handle.constructor === Object;
}

/** In a worker: settles when the primary has passed on its last connection. */
export function primaryClosed(): Promise<void> {
  return new Promise(settle => {
    const done = () => {
      clearTimeout(timer);
      process.off('internalMessage', onMessage);
      process.off('disconnect', done);
      settle();
    };
    const timer = setTimeout(done, PRIMARY_WAIT_MS);
    const onMessage = (message: { cmd?: unknown; act?: unknown }) => {
      if (message?.cmd !== CMD) return;
      if (message.act === 'closed') done();
      else timer.refresh();
    };
    process.on('internalMessage', onMessage);
    process.on('disconnect', done);
  });
}

/** Set while the program's own disconnect() waits. */
let disconnectNow: (() => void) | undefined;
/** Whom it has called that for. */
const disconnected = new Set<ChildProcess>();

/**
 * In a primary or a worker that is told to stop, before its program hears of that: what the program disconnects from now on
 * waits for {@link releaseDisconnect}. A primary tells its workers, so that what it sends to them next, or its program
 * does, finds their servers shielded.
 */
export function holdDisconnect(): void {
  if (disconnectNow) return;
  const cluster = clusterOfProgram();
  const { prototype } = cluster.Worker;
  // `cluster.disconnect()` and `worker.kill()` end in these; but the former calls back when no worker is left.
  const undo = [
    hold(prototype, 'disconnect'),
    cluster.isWorker ? hold(prototype, 'destroy') : hold(cluster, 'disconnect'),
  ];
  disconnectNow = () => {
    for (const release of undo) release();
  };
  for (const worker of Object.values(cluster.workers ?? {})) if (worker) tell(worker.process, 'stopping');
}

/** What was asked for happens now. */
export function releaseDisconnect(): void {
  disconnectNow?.();
  disconnectNow = undefined;
}

/** Not imported: whoever does that first decides how it schedules. */
function clusterOfProgram(): Cluster & { Worker: typeof Worker } {
  return process.getBuiltinModule('cluster') as unknown as ReturnType<typeof clusterOfProgram>;
}

/** @returns lets what was called meanwhile happen */
function hold(owner: object, method: 'disconnect' | 'destroy'): () => void {
  const original = Reflect.get(owner, method);
  const waiting = new Map<object, unknown[]>();
  let holds = true;
  const held = function (this: object, ...args: unknown[]) {
    if (!holds) return Reflect.apply(original, this, args);
    // Whoever sees a worker end knows that it was to.
    const { workers } = clusterOfProgram();
    const ending = this === owner ? Object.values(workers ?? {}) : [this as Worker];
    for (const worker of ending) {
      if (!worker) continue;
      worker.exitedAfterDisconnect = true;
      disconnected.add(worker.process);
    }
    if (!waiting.has(this)) waiting.set(this, args);
    return this;
  };
  Reflect.set(owner, method, held);
  return () => {
    holds = false;
    if (Reflect.get(owner, method) === held) Reflect.set(owner, method, original);
    for (const [each, args] of waiting) Reflect.apply(original, each, args);
  };
}

/** In the primary: what it accepts with, and for whom. */
export class Primary {
  readonly #listeners = new Set<{ close(): void }>();
  readonly #workers = new Set<ChildProcess>();
  /** Connections of which a worker has said whether it takes them. */
  #passed = 0;
  #state: 'accepting' | 'passing on' | 'done' = 'accepting';

  get hasWorkers(): boolean {
    return this.#workers.size > 0;
  }

  addListener(handle: { close(): void }): void {
    this.#listeners.add(handle);
  }

  addWorker(worker: ChildProcess): void {
    this.#workers.add(worker);
    worker.once('exit', () => this.#workers.delete(worker));
    worker.on('internalMessage', (message: { accepted?: unknown }) => {
      if (typeof message.accepted === 'boolean') this.#passed++;
    });
    if (this.#state === 'done') tell(worker, 'closed');
  }

  /** Accepts no more, passes on what it has accepted, tells the workers, and waits until they are gone. */
  async stop(): Promise<void> {
    this.#state = 'passing on';
    for (const handle of this.#listeners) handle.close();
    if (this.#listeners.size > 0) await this.#passOn();
    this.#state = 'done';
    for (const worker of this.#workers) tell(worker, 'closed', disconnected.has(worker));
    if (this.#workers.size > 0) releaseDisconnect();
    for (const worker of this.#workers) await gone(worker);
  }

  async #passOn(): Promise<void> {
    for (let before = -1; before !== this.#passed; ) {
      before = this.#passed;
      await Promise.all([...this.#workers].map(answered));
    }
  }
}

function tell(worker: ChildProcess, act: ClusterMessage['act'], disconnects = false): void {
  const message: ClusterMessage = { cmd: CMD, act, disconnects };
  // With a callback it does not throw at a worker that is gone before this process knows.
  if (worker.connected) worker.send(message, () => undefined);
}

/** Settles when a worker has read all that was sent to it before, or will not. */
function answered(worker: ChildProcess): Promise<void> {
  if (!worker.connected) return Promise.resolve();
  return new Promise(settle => {
    const onMessage = (message: { cmd?: unknown; act?: unknown }) => {
      if (message.cmd === CMD && message.act === 'here') done();
    };
    const done = () => {
      worker.off('internalMessage', onMessage);
      worker.off('disconnect', done);
      clearTimeout(timer);
      settle();
    };
    const timer = setTimeout(done, ANSWER_MS);
    worker.on('internalMessage', onMessage);
    worker.on('disconnect', done);
    tell(worker, 'ask');
  });
}

function gone(worker: ChildProcess): Promise<unknown> {
  if (worker.exitCode !== null || worker.signalCode !== null) return Promise.resolve();
  return new Promise(settle => worker.once('exit', settle));
}
