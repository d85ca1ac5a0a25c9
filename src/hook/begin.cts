/*
 * From the tick in which a server listens: the order to stop is heard at once, for it may come soon. What it takes to obey
 * it is loaded when whoever waited for this process has been answered, or when the order comes. Loaded at the first listen.
 */

type Server = import('node:net').Server;
type ChildProcess = import('node:child_process').ChildProcess;
type BroadcastChannel = import('node:worker_threads').BroadcastChannel;
type Listening = typeof import('./listening.ts');
type Cluster = typeof import('./cluster.ts');
type StopSignal = typeof import('./stop-signal.ts');
type Shield = typeof import('../drain/shield.ts');
type Started = import('./consent.ts').Started;

const { RELISTEN_DIR, RELISTEN_GENERATION, RELISTEN_STOP_SIGNAL } = process.env;
/** As in surroundings.ts: nobody hears these two. */
const IS_HEARD = /^SIG(?!KILL$|STOP$)[A-Z0-9]+$/.test(RELISTEN_STOP_SIGNAL ?? '');
const SIGNAL = (IS_HEARD ? RELISTEN_STOP_SIGNAL : 'SIGTERM') as NodeJS.Signals;
const { isMainThread, threadId } = process.getBuiltinModule('worker_threads');

/** Those who waited for this generation come first: to load takes some milliseconds. */
const AFTER_FIRST_CLIENTS_MS = 10;

let started: Started = { script: undefined, options: [] };
let listening: Listening | undefined;
let loading: Promise<Listening> | undefined;
let loadNow: () => void = () => undefined;
/** What listening.ts does not know of yet. */
let unknown = 0;
const unknownServers = new Set<Server>();
/** To be called when the drain is over: of servers that it did not know of, and of the cluster. */
const shields = new Set<() => void>();
/** What the stop signal does here. */
let obeySignal: (() => void) | undefined;
/** Hears no order any more. */
let deafen: (() => void) | undefined;
/** This is a primary with workers that listen, or one of those. */
let isInCluster = false;

/** The stop signal, which the program has not heard of yet. */
let kept: (() => void) | undefined;
let hasBeenTold = false;

/** What `once` puts around a listener has that as a property. */
type Listener = NodeJS.SignalsListener & { listener?: NodeJS.SignalsListener };

module.exports = { setStarted, setLoaded, onServer, onWorker, onThread, onThreadStopped, keepsSignal };

/** How this process was started, before it changed anything of that. */
function setStarted(facts: Started): void {
  started = facts;
}

/** All of it was loaded ahead. */
function setLoaded(loaded: Listening): void {
  listening = loaded;
}

/** A server of this thread listens, with this handle. */
function onServer(server: Server, handle: unknown): void {
  const ours = counts(server);
  if (ours) {
    unknownServers.add(server);
    hear();
    tellPrimary();
  }
  begin(loaded => {
    unknownServers.delete(server);
    loaded.onListening(server, handle, ours);
  });
}

/** A cluster worker of this process listens. */
function onWorker(worker: ChildProcess): void {
  isInCluster = true;
  hear();
  begin(loaded => loaded.onWorker(worker));
}

/** A worker thread of this process listens: its clients are that thread's, so nobody waits for this one. */
function onThread(thread: number): void {
  hear();
  begin(loaded => loaded.onThread(thread), 0);
}

/** It has ended, or has nothing to stop any more. */
function onThreadStopped(thread: number): void {
  loading?.then(loaded => loaded.onThreadStopped(thread)).catch(() => undefined);
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
  // See served.ts.
  if (Reflect.get(server, Symbol.for('relisten.served')) === true) return false;
  return 'maxRequestsPerSocket' in server || typeof server.address() === 'object';
}

function begin(act: (loaded: Listening) => void, afterMs = isMainThread ? AFTER_FIRST_CLIENTS_MS : 0): void {
  const ready = announceReceiver();
  unknown++;
  loading ??= load(afterMs);
  loading
    .then(loaded => {
      loaded.setStarted(started);
      act(loaded);
      unknown--;
      if (loaded.hasSomethingToStop()) hear();
      else if (unknown === 0) deafen?.();
      return loaded.settled();
    })
    .catch((error: unknown) => {
      process.emitWarning(`The relisten hook does not work here: ${String(error)}`, 'RelistenWarning');
    })
    .finally(ready);
}

async function load(afterMs: number): Promise<Listening> {
  if (listening) {
    await new Promise(resolve => setImmediate(resolve));
    return listening;
  }
  await new Promise<void>(resolve => {
    loadNow = resolve;
    setTimeout(resolve, afterMs).unref();
  });
  try {
    // What is being imported cannot be required, and the signal may come meanwhile.
    requireStopSignal();
    requireShield();
    requireCluster();
  } catch {
    // Not in a Node that was told to require no ES module: there the stop signal does what it would have, until all is loaded.
  }
  listening = await import('./listening.ts');
  return listening;
}

function requireStopSignal(): StopSignal {
  return require('./stop-signal.js');
}

function requireShield(): Shield {
  return require('../drain/shield.js');
}

function requireCluster(): Cluster {
  return require('./cluster.js');
}

/** From now on this thread is told to stop before it ends: the main one by the signal, others by that one (threads.ts). */
function hear(): void {
  deafen ??= isMainThread ? hearSignal() : hearMainThread();
}

function hearSignal(): () => void {
  let obey: (() => void) | undefined;
  const listener = () => {
    try {
      obey ??= (listening ?? requireStopSignal()).signalListener(SIGNAL, listener, stop);
    } catch {
      process.off(SIGNAL, listener);
      if (process.listenerCount(SIGNAL) === 0) process.kill(process.pid, SIGNAL);
      else tellProgram();
    }
    obey?.();
  };
  obeySignal = listener;
  // First of all, where the signal is not kept from the others.
  process.prependListener(SIGNAL, listener);
  return () => {
    process.off(SIGNAL, listener);
    obeySignal = undefined;
    deafen = undefined;
  };
}

/**
 * The stop signal has come: whether the program's own listeners shall not hear it yet. They close what requests need that
 * are still to be answered here (a database), answer them with a 503 (fastify), or cut connections (http-terminator).
 *
 * @param pass lets all listeners hear it
 * @param args the signal, and what comes with it
 */
function keepsSignal(pass: () => void, [, ...args]: readonly unknown[]): boolean {
  if (!obeySignal || hasBeenTold) return false;
  // A second one, which wrappers such as npm send, is the same order.
  if (kept) return true;
  // Who hides from process.listeners() is no part of the program: tsx kills one in which its own does not hear it at once.
  const shown = new Set<unknown>(process.listeners(SIGNAL));
  const hidden = listeners().filter(one => !shown.has(one.listener ?? one));
  kept = () => {
    if (hidden.length === 0) return pass();
    for (const one of listeners()) if (!hidden.includes(one)) Reflect.apply(one, process, args);
  };
  obeySignal();
  for (const one of hidden) Reflect.apply(one, process, args);
  return true;
}

/** All of the stop signal, whoever may hide some of them. */
function listeners(): Listener[] {
  return process.getBuiltinModule('events').prototype.rawListeners.call(process, SIGNAL) as Listener[];
}

/** Nothing is to be lost any more, or there is no more time: the program's own listeners hear the stop signal. */
function tellProgram(): void {
  hasBeenTold = true;
  const pass = kept;
  kept = undefined;
  if (!pass) return;
  try {
    (listening ?? requireShield()).showOpen();
  } catch {
    // Not in a Node that was told to require no ES module.
  }
  try {
    pass();
  } catch (error) {
    // As one that a signal's listener throws.
    process.nextTick(() => {
      throw error;
    });
  }
}

function hearMainThread(): () => void {
  const channel = new BroadcastChannel('relisten') as unknown as BroadcastChannel;
  channel.onmessage = event => {
    if ((event as { data: { type: string } }).data.type !== 'stop') return;
    stop().finally(() => channel.postMessage({ type: 'stopped', thread: threadId }));
  };
  channel.unref();
  channel.postMessage({ type: 'listening', thread: threadId });
  return () => {
    channel.postMessage({ type: 'stopped', thread: threadId });
    channel.close();
    deafen = undefined;
  };
}

/**
 * In a worker of a cluster: see cluster.ts. The program of the primary may tell ours to close, or disconnect us, before our
 * own signal has come: so the servers are shielded at the primary's word.
 */
function tellPrimary(): void {
  // For workers alone the module is loaded already.
  const isWorker = process.connected === true && Reflect.get(process.getBuiltinModule('cluster'), 'isWorker') === true;
  if (isInCluster || !isWorker) return;
  isInCluster = true;
  send('listening');
  process.on('internalMessage', (message: { cmd?: unknown; act?: unknown; disconnects?: unknown }) => {
    if (message?.cmd !== 'NODE_RELISTEN') return;
    if (message.act === 'ask') send('here');
    if (message.act === 'stopping') shield();
    if (message.act !== 'closed') return;
    shield();
    loadNow();
    loading
      ?.then(loaded => loaded.onPrimaryStopped(message.disconnects === true, () => void stop()))
      .catch(() => undefined);
  });
}

function send(act: 'listening' | 'here'): void {
  // With a callback it does not throw when the primary is gone before this process knows.
  if (process.connected) process.send?.({ cmd: 'NODE_RELISTEN', act }, undefined, undefined, () => undefined);
}

async function stop(): Promise<void> {
  shield();
  loadNow();
  try {
    await (await loading)?.stop(tellProgram);
  } catch {
    // It has been told that this does not work here.
  }
  tellProgram();
  for (const over of shields) over();
  shields.clear();
}

/** At once: the program's own listeners, which may close its servers, run when this returns. */
function shield(): void {
  listening?.shield();
  try {
    if (isInCluster) holdDisconnect();
    for (const server of unknownServers) shields.add(requireShield().keepOpen(server));
  } catch {
    // Not in a Node that was told to require no ES module.
  }
  unknownServers.clear();
}

function holdDisconnect(): void {
  const cluster = listening ?? requireCluster();
  cluster.holdDisconnect();
  shields.add(cluster.releaseDisconnect);
}

/**
 * Says that this thread will receive connections of the older generation, which then waits for it.
 *
 * @returns takes that back
 */
function announceReceiver(): () => void {
  const fs = process.getBuiltinModule('fs');
  const path = `${RELISTEN_DIR}/loading-${RELISTEN_GENERATION}-${process.pid}-${process.hrtime.bigint()}`;
  try {
    fs.writeFileSync(path, '');
  } catch {
    return () => {}; // a directory that we may not write to is one that we cannot receive in
  }
  return () => fs.rmSync(path, { force: true });
}
