import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { isRoundRobin, Primary, primaryClosed, tellPrimary } from './cluster.ts';
import { Lifetime } from './lifetime.ts';
import { isServed } from './served.ts';
import { onStopSignal } from './stop-signal.ts';
import { deadlineUnder, readSurroundings, type Surroundings } from './surroundings.ts';
import { obeyMainThread, stopThreads } from './threads.ts';

/*
 * What the hook does in a process that listens, or has others that do: one of it per thread.
 */

const around = readSurroundings(process.env);
const lifetime = new Lifetime(around);
const primary = new Primary();
const threads = new Set<number>();
let installed = false;
let stopping = false;
let accepting = true;

/**
 * A server of this thread listens; called soon after.
 *
 * @param handle what it had to listen with in that moment
 */
export function onListening(server: Server, handle: unknown): void {
  if (!around) return;
  if (isTakenAway(server, handle)) {
    primary.addListener(handle);
    install(around);
    return;
  }
  if (!server.listening || !counts(server)) return;
  announce(around);
  lifetime.add(server);
  if (!installed) tellPrimary(() => onPrimaryStopped(around));
  install(around);
}

/** A cluster worker of this process listens. */
export function onWorker(worker: ChildProcess): void {
  primary.addWorker(worker);
  if (around) install(around);
}

/** A worker thread of this process listens. */
export function onThread(thread: number): void {
  threads.add(thread);
  if (around) install(around);
}

/** The listener of a cluster's primary: its server was only there to make it. */
function isTakenAway(server: Server, handle: unknown): handle is { close(): void } {
  const open = typeof handle === 'object' && handle !== null && Number(Reflect.get(handle, 'fd')) >= 0;
  return open && Reflect.get(server, '_handle') === null;
}

function install(facts: Surroundings): void {
  if (installed) return;
  installed = true;
  if (isMainThread) onStopSignal(facts.stopSignal, () => stop(facts));
  else obeyMainThread(() => stop(facts));
}

/** Where the signal went to the primary alone, this worker's own listeners must hear of it too. */
function onPrimaryStopped({ stopSignal }: Surroundings): void {
  accepting = false;
  if (!stopping) process.kill(process.pid, stopSignal);
}

async function stop(facts: Surroundings): Promise<void> {
  stopping = true;
  const deadline = deadlineUnder(facts);
  const roundRobin = [...lifetime.servers].some(isRoundRobin);
  const shared = facts.intercepted || roundRobin;
  const onNotReady = () => (roundRobin && accepting ? primaryClosed() : undefined);
  const drained = lifetime.servers.size > 0 ? lifetime.stop({ deadline, shared, onNotReady }) : undefined;
  await Promise.all([drained, stopThreads(threads), primary.stop()]);
}

/**
 * | server                      | address   | counts                                               |
 * |-----------------------------|-----------|------------------------------------------------------|
 * | of `serve()`                | any       | no: it does all this itself                          |
 * | HTTP                        | any       | yes                                                  |
 * | raw TCP, TLS, HTTP/2        | TCP       | yes                                                  |
 * | raw                         | unix path | no: tools talk to their own children there (tsx, IPC)|
 */
function counts(server: Server): boolean {
  if (isServed(server)) return false;
  return 'maxRequestsPerSocket' in server || typeof server.address() === 'object';
}

/** Where nobody sees our listen(2), a file says that we are ready. */
function announce({ intercepted, directory, generation }: Surroundings): void {
  if (!intercepted) writeFileSync(join(directory, `listening-${generation}-${process.pid}`), '');
}
