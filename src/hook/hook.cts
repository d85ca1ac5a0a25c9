/*
 * What NODE_OPTIONS loads into every Node process below `relisten run`. Most of them never listen (npm, build tools), so
 * this does next to nothing: no import, no patch, three subscriptions. The rest is loaded when a server has begun to
 * listen, in this process or below it, and has answered whoever waited for that.
 */

type Listening = typeof import('./listening.ts');

const { NODE_OPTIONS, RELISTEN_DIR, RELISTEN_GENERATION, RELISTEN_INTERCEPT, RELISTEN_STANDBY } = process.env;

/** As Node made it: programs change it for what they start (ts-node). */
const started = { script: process.argv[1], options: [...process.execArgv, NODE_OPTIONS ?? ''] };
let loading: Promise<Listening> | undefined;

if (RELISTEN_DIR !== undefined && RELISTEN_GENERATION !== undefined && process.platform === 'linux') {
  const listening: Listening | undefined = RELISTEN_STANDBY === undefined ? undefined : require('./standby.cjs');
  if (listening) loading = Promise.resolve(listening);
  subscribe();
  // Adopting by fd is for where relisten cannot do it in the kernel.
  if (process.env.LISTEN_FDS !== undefined && RELISTEN_INTERCEPT === '0') require('./adopt.cjs');
}

function subscribe(): void {
  const { subscribe } = process.getBuiltinModule('diagnostics_channel');
  // Published in the tick in which listen(2) succeeds (tracing:net.server.listen, since Node 20.13).
  subscribe('tracing:net.server.listen:asyncEnd', message => {
    const { server } = message as { server: import('node:net').Server };
    // The cluster module takes the handle away from the server in the next tick.
    const handle: unknown = Reflect.get(server, '_handle');
    // The main thread, which gets the signals, has to hear of another thread's server first.
    const { isMainThread } = process.getBuiltinModule('worker_threads');
    begin(listening => listening.onListening(server, handle), isMainThread ? AFTER_FIRST_CLIENTS_MS : 0);
  });
  // A cluster worker that listens says so to this process, which has to outlive it (cluster.ts).
  subscribe('child_process', message => {
    const { process: child } = message as { process: import('node:child_process').ChildProcess };
    child.on('internalMessage', (sent: { cmd?: unknown }) => {
      if (sent.cmd === 'NODE_RELISTEN') begin(listening => listening.onWorker(child));
    });
  });
  // A worker thread that listens gets no signals: this thread has to tell it (threads.ts).
  process.once('worker', () => {
    const channel = new BroadcastChannel('relisten') as unknown as import('node:worker_threads').BroadcastChannel;
    channel.unref();
    channel.onmessage = event => {
      const { type, thread } = (event as { data: { type: string; thread: number } }).data;
      // Its clients are that thread's, so nobody here waits; and a signal may come soon.
      if (type === 'listening') begin(listening => listening.onThread(thread), 0);
    };
  });
}

/** Those who waited for this generation come first: to load takes some milliseconds. */
const AFTER_FIRST_CLIENTS_MS = 10;

function begin(act: (listening: Listening) => void, afterMs = AFTER_FIRST_CLIENTS_MS): void {
  const ready = announceReceiver();
  loading ??= new Promise(resolve => setTimeout(resolve, afterMs).unref()).then(() => import('./listening.ts'));
  const begun = loading.then(listening => {
    listening.setStarted(started);
    act(listening);
    return listening.settled();
  });
  begun
    .catch((error: unknown) => {
      process.emitWarning(`The relisten hook does not work here: ${String(error)}`, 'RelistenWarning');
    })
    .finally(ready);
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
