import type { ChildProcess } from 'node:child_process';
import type { Server } from 'node:net';
import { isMainThread } from 'node:worker_threads';
import { keepOpen } from '../drain/shield.ts';
import { successorOf } from '../handoff/rendezvous.ts';
import { hasAnyPort } from '../kernel/handle.ts';
import { isRoundRobin, Primary, primaryClosed } from './cluster.ts';
import { consentToStandBy, type Started } from './consent.ts';
import type { Lifetime } from './lifetime.ts';
import { deadlineUnder, patienceUnder, readSurroundings, type Surroundings } from './surroundings.ts';
import { stopThreads } from './threads.ts';

export { showOpen } from '../drain/shield.ts';
export { holdDisconnect, releaseDisconnect } from './cluster.ts';
export { signalListener } from './stop-signal.ts';

/*
 * What the hook does in a process that listens, or has others that do: one of it per thread.
 */

/** What handing off and draining takes is loaded a little later than what a stop signal does. */
const LOAD_AFTER_MS = 40;

/**
 * How long an idle connection is kept when no other generation is ready: new clients wait for the next one to start, or
 * somebody at a terminal for the end. Who asks more often than that is told.
 */
const LAST_IDLE_GRACE_MS = 500;

const around = readSurroundings(process.env);
const servers = new Set<Server>();
/** To be called when they are drained. */
const shields = new Map<Server, () => void>();
let loading: Promise<Lifetime> | undefined;
/** The last server's way into it. */
let adding: Promise<unknown> | undefined;
const primary = new Primary();
const threads = new Set<number>();
let started: Started = { script: undefined, options: [] };
/** Everything has been loaded while nobody waited. */
let loaded = false;
let installed = false;
let stopping = false;
let accepting = true;

/**
 * A server of this thread listens; called soon after.
 *
 * @param handle what it had to listen with in that moment
 * @param ours it is to be drained
 */
export function onListening(server: Server, handle: unknown, ours: boolean): void {
  if (!around) return;
  if (isTakenAway(server, handle)) {
    primary.addListener(handle);
    install(around);
    return;
  }
  if (!server.listening || !ours) return;
  add(server);
  install(around);
}

/** How this process was started, before it changed anything of that. */
export function setStarted(facts: Started): void {
  started = facts;
}

/** There is nothing to load any more, so nothing to put off. */
export function setLoaded(): void {
  loaded = true;
}

function add(server: Server): void {
  servers.add(server);
  server.once('close', () => servers.delete(server));
  // It counts the requests of each connection from the first one on.
  if (loaded || loading || Reflect.get(server, 'maxRequestsPerSocket') > 0)
    adding = load().then(lifetime => lifetime.add(server));
  else adding ??= new Promise(resolve => setTimeout(resolve, LOAD_AFTER_MS).unref()).then(load);
}

/** Settles when what listens receives connections, or will not. */
export async function settled(): Promise<void> {
  await adding;
}

/** Not all at once: each part holds the program's requests up for a moment. */
function load(): Promise<Lifetime> {
  loading ??= import('./lifetime.ts').then(async ({ openLifetime }) => {
    const lifetime = await openLifetime(around);
    for (const server of servers) lifetime.add(server);
    return lifetime;
  });
  return loading;
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

/** It has ended, or has nothing to stop any more. */
export function onThreadStopped(thread: number): void {
  threads.delete(thread);
}

/** The listener of a cluster's primary: its server was only there to make it. */
function isTakenAway(server: Server, handle: unknown): handle is { close(): void } {
  const open = typeof handle === 'object' && handle !== null && Number(Reflect.get(handle, 'fd')) >= 0;
  return open && Reflect.get(server, '_handle') === null;
}

function install(facts: Surroundings): void {
  if (installed) return;
  installed = true;
  if (isMainThread) consentToStandBy(facts, started);
}

/** Whether there is anything to do when this thread is told to stop. */
export function hasSomethingToStop(): boolean {
  return installed;
}

/**
 * Where the signal went to the primary alone, this worker's own listeners must hear of it too.
 *
 * @param drain instead, where it has none and the primary's program disconnects it: it ends by that then, not by a signal
 */
export function onPrimaryStopped(disconnects: boolean, drain: () => void): void {
  accepting = false;
  if (stopping || !around) return;
  // One is the hook's.
  if (disconnects && process.listenerCount(around.stopSignal) <= 1) drain();
  else process.kill(process.pid, around.stopSignal);
}

/** From now on the program's own close() of a server is the drain's. */
export function shield(): void {
  for (const server of servers) if (!shields.has(server)) shields.set(server, keepOpen(server));
}

/**
 * Everything of this thread, and what it has to stop for others.
 *
 * | the program hears the stop signal | when                                                                            |
 * |-----------------------------------|---------------------------------------------------------------------------------|
 * | in a cluster's primary            | at once: it may have to know that it must not replace the workers which end      |
 * | elsewhere                         | when nothing is in use any more; after a while in any case, as what is still in use may end only when the program does that |
 */
export async function stop(tellProgram: () => void): Promise<void> {
  stopping = true;
  if (primary.hasWorkers) tellProgram();
  const patience = around && setTimeout(tellProgram, patienceUnder(around));
  try {
    await Promise.all([around && drainServers(around), stopThreads(threads), primary.stop()]);
  } finally {
    clearTimeout(patience);
  }
}

/**
 * Whether only this process knows where it listens: on any port that was free, or a name that has its pid. It answers what
 * the others pass on, and has to outlive their requests; there is nobody to hand its own connections to.
 */
function isInner(server: Server): boolean {
  const address = server.address();
  if (typeof address !== 'string') return hasAnyPort(server);
  return address.split(/\D+/).includes(String(process.pid));
}

async function drainServers(facts: Surroundings): Promise<void> {
  if (servers.size === 0) return;
  const deadline = deadlineUnder(facts);
  const roundRobin = [...servers].some(isRoundRobin);
  const shared = facts.intercepted || roundRobin;
  const onNotReady = () => (roundRobin && accepting ? primaryClosed() : undefined);
  shield();
  const since = performance.now();
  try {
    const lifetime = await load();
    // Nobody waits for a client that could close first while others wait for us to be gone.
    const clientFirst = facts.stopFirst ? 0 : undefined;
    const idleGrace = successorOf(facts) ? undefined : LAST_IDLE_GRACE_MS;
    const inner = [...servers].filter(isInner);
    const outer = [...servers].filter(server => !inner.includes(server));
    // Nobody reads the report.
    const options = { shared, onNotReady, clientFirst, idleGrace, countTimeWait: false };
    if (outer.length > 0) await lifetime.stop({ ...options, deadline }, outer);
    const left = Math.max(0, Math.floor(deadline - (performance.now() - since)));
    const own = outer.length > 0 ? { idleGrace: 0, shared: roundRobin } : {};
    if (inner.length > 0) await lifetime.stop({ ...options, ...own, deadline: left }, inner, false);
    await lifetime.close();
  } finally {
    for (const drained of shields.values()) drained();
    shields.clear();
  }
}
