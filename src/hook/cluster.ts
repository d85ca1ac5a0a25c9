import type { ChildProcess } from 'node:child_process';
import type { Server } from 'node:net';

/*
 * node:cluster. Under round robin the primary accepts and passes each connection on, so it must stop first: a connection
 * that reaches a worker which has just closed is passed to another, and to nobody if that was the last. Its last word to
 * the workers goes over the channel that the connections go over, and so arrives after them.
 *
 * | policy      | who accepts | on the stop signal, whoever of them gets it                                 |
 * |-------------|-------------|-----------------------------------------------------------------------------|
 * | round robin | the primary | it closes its listener and says so; the workers accept until then, and drain |
 * | none        | the workers | the primary says so, each drains                                            |
 * | both        |             | the primary ends when its workers have                                      |
 */

/** Node delivers messages that begin with NODE_ as 'internalMessage', out of the program's sight. */
const CMD = 'NODE_RELISTEN';

interface ClusterMessage {
  cmd: typeof CMD;
  act: 'listening' | 'closed';
}

/** How long a worker accepts at most while it waits for its primary. */
const PRIMARY_WAIT_MS = 1_000;

/** Whether this process is a worker of a cluster; for those alone the module is loaded already. */
function isWorker(): boolean {
  return process.connected === true && Reflect.get(process.getBuiltinModule('cluster'), 'isWorker') === true;
}

/**
 * In a worker: tells the primary that there is somebody to wait for.
 *
 * @param onStop the primary has stopped; called once
 */
export function tellPrimary(onStop: () => void): void {
  if (!isWorker()) return;
  const message: ClusterMessage = { cmd: CMD, act: 'listening' };
  process.send?.(message);
  onInternalMessage(onStop);
}

function onInternalMessage(onClosed: () => void): () => void {
  const listener = (message: unknown) => {
    if (typeof message !== 'object' || message === null) return;
    if (Reflect.get(message, 'cmd') === CMD && Reflect.get(message, 'act') === 'closed') onClosed();
  };
  process.on('internalMessage', listener);
  return () => process.off('internalMessage', listener);
}

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
      forget();
      process.off('disconnect', done);
      settle();
    };
    const timer = setTimeout(done, PRIMARY_WAIT_MS);
    const forget = onInternalMessage(done);
    process.on('disconnect', done);
  });
}

/** In the primary: what it accepts with, and for whom. */
export class Primary {
  readonly #listeners = new Set<{ close(): void }>();
  readonly #workers = new Set<ChildProcess>();

  addListener(handle: { close(): void }): void {
    this.#listeners.add(handle);
  }

  addWorker(worker: ChildProcess): void {
    this.#workers.add(worker);
    worker.once('exit', () => this.#workers.delete(worker));
  }

  /** Accepts no more, tells the workers, and waits until those of now are gone. */
  async stop(): Promise<void> {
    for (const handle of this.#listeners) handle.close();
    const workers = [...this.#workers];
    const message: ClusterMessage = { cmd: CMD, act: 'closed' };
    for (const worker of workers) if (worker.connected) worker.send(message);
    await Promise.all(workers.map(worker => new Promise(settle => worker.once('exit', settle))));
  }
}
