import type { ChildProcess } from 'node:child_process';
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
 */

/** Node delivers messages that begin with NODE_ as 'internalMessage', out of the program's sight. A worker sends it in begin.cts. */
const CMD = 'NODE_RELISTEN';

interface ClusterMessage {
  cmd: typeof CMD;
  /** From a worker: `listening`, `here`. To a worker: `ask`, which it answers, and `closed`. */
  act: 'listening' | 'ask' | 'here' | 'closed';
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

/** In the primary: what it accepts with, and for whom. */
export class Primary {
  readonly #listeners = new Set<{ close(): void }>();
  readonly #workers = new Set<ChildProcess>();
  /** Connections of which a worker has said whether it takes them. */
  #passed = 0;
  #state: 'accepting' | 'passing on' | 'done' = 'accepting';

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
    for (const worker of this.#workers) tell(worker, 'closed');
    for (const worker of this.#workers) await gone(worker);
  }

  async #passOn(): Promise<void> {
    for (let before = -1; before !== this.#passed; ) {
      before = this.#passed;
      await Promise.all([...this.#workers].map(answered));
    }
  }
}

function tell(worker: ChildProcess, act: ClusterMessage['act']): void {
  const message: ClusterMessage = { cmd: CMD, act };
  if (worker.connected) worker.send(message);
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
