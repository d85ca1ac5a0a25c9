/*
 * What NODE_OPTIONS loads into every Node process below `relisten run`. Most of them never listen (npm, build tools), so
 * this does next to nothing: no import, four subscriptions, and a patch where somebody listens for the stop signal. The rest
 * is loaded when a server has begun to listen, in this process or below it (begin.cts).
 */

type Server = import('node:net').Server;
type ChildProcess = import('node:child_process').ChildProcess;
type BroadcastChannel = import('node:worker_threads').BroadcastChannel;

/** See begin.cts. */
interface Begin {
  setStarted(facts: import('./consent.ts').Started): void;
  onServer(server: Server, handle: unknown): void;
  onWorker(worker: ChildProcess): void;
  onThread(thread: number): void;
  onThreadStopped(thread: number): void;
  keepsSignal(pass: () => void, args: readonly unknown[]): boolean;
}

/**
 * Deno loads what NODE_OPTIONS names, too (2.9), and ends a program that reads a variable for which it has no --allow-env. All
 * that is below is about Node's own servers.
 */
const { argv, execArgv, env } = process.versions.deno === undefined ? process : { argv: [], execArgv: [], env: {} };
const { NODE_OPTIONS, RELISTEN_DIR, RELISTEN_GENERATION, RELISTEN_INTERCEPT, RELISTEN_STANDBY, RELISTEN_STOP_SIGNAL } =
  env as NodeJS.ProcessEnv;

const STOP_SIGNAL = (RELISTEN_STOP_SIGNAL ?? 'SIGTERM') as NodeJS.Signals;

/** As Node made it: programs change it for what they start (ts-node). */
const started = { script: argv[1], options: [...execArgv, NODE_OPTIONS ?? ''] };
let begun: Begin | undefined;

if (RELISTEN_DIR !== undefined && RELISTEN_GENERATION !== undefined && process.platform === 'linux') {
  if (RELISTEN_STANDBY !== undefined) require('./standby.cjs');
  subscribe();
  if (process.env.RELISTEN_WARM_HTTP !== undefined) require('./before-listen.cjs');
  // Adopting by fd is for where relisten cannot do it in the kernel.
  if (process.env.LISTEN_FDS !== undefined && RELISTEN_INTERCEPT === '0') require('./adopt.cjs');
}

function subscribe(): void {
  const emitter: NodeJS.EventEmitter = process;
  emitter.prependListener('newListener', onNewListener);
  const { subscribe } = process.getBuiltinModule('diagnostics_channel');
  // Published in the tick in which listen(2) succeeds (tracing:net.server.listen, since Node 20.13).
  subscribe('tracing:net.server.listen:asyncEnd', message => {
    const { server } = message as { server: Server };
    // The cluster module takes the handle away from the server in the next tick.
    const handle: unknown = Reflect.get(server, '_handle');
    tell(begin => begin.onServer(server, handle));
  });
  // A cluster worker that listens says so to this process, which has to outlive it (cluster.ts).
  subscribe('child_process', message => {
    const { process: child } = message as { process: ChildProcess };
    child.on('internalMessage', (sent: { cmd?: unknown; act?: unknown }) => {
      if (sent.cmd === 'NODE_RELISTEN' && sent.act === 'listening') tell(begin => begin.onWorker(child));
    });
  });
  // A worker thread that listens gets no signals: the main thread has to tell it (threads.ts), unless it has ended.
  let channel: BroadcastChannel | undefined;
  process.on('worker', worker => {
    channel ??= openChannel();
    const thread = worker.threadId;
    worker.once('exit', () => {
      channel?.postMessage({ type: 'stopped', thread });
      begun?.onThreadStopped(thread);
    });
  });
}

/**
 * Node takes `process.emit` as it is when somebody first listens for a signal, and calls that whenever it comes. So this is
 * before all listeners, and can keep it from them until the drain is over (begin.cts).
 */
function onNewListener(event: string | symbol): void {
  if (event !== STOP_SIGNAL) return;
  process.off('newListener', onNewListener);
  const { emit } = process;
  const emitUnlessKept = function (this: NodeJS.Process, ...args: [string, ...unknown[]]): boolean {
    const pass = () => Reflect.apply(emit, this, args);
    return (args[0] === STOP_SIGNAL && begun?.keepsSignal(pass, args)) || pass();
  };
  process.emit = emitUnlessKept as typeof process.emit;
}

function openChannel(): BroadcastChannel {
  const channel = new BroadcastChannel('relisten') as unknown as BroadcastChannel;
  channel.unref();
  channel.onmessage = event => {
    const { type, thread } = (event as { data: { type: string; thread: number } }).data;
    if (type === 'listening') tell(begin => begin.onThread(thread));
    if (type === 'stopped') begun?.onThreadStopped(thread);
  };
  return channel;
}

/** The program is none the worse for it where that cannot be loaded: the files are gone, or not to be read. */
function tell(act: (begin: Begin) => void): void {
  try {
    begun ??= require('./begin.cjs') as Begin;
    begun.setStarted(started);
    act(begun);
  } catch (error) {
    process.emitWarning(`The relisten hook does not work here: ${String(error)}`, 'RelistenWarning');
  }
}
