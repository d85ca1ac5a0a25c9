import { EventEmitter } from 'node:events';
import type { Server } from 'node:net';
import { constants } from 'node:os';
import { parseAddress } from '../address.ts';
import { settingsOf } from '../drain/options.ts';
import type { DrainReport } from '../drain/report.ts';
import { invalidArgument } from '../errors.ts';
import { handOff } from '../handoff/state.ts';
import { warnOnce } from '../handoff/warn.ts';
import { Lifetime } from '../hook/lifetime.ts';
import { setServed } from '../hook/served.ts';
import { onStopSignal } from '../hook/stop-signal.ts';
import { deadlineUnder, readSurroundings } from '../hook/surroundings.ts';
import { sendDatagram } from '../kernel/datagram.ts';
import { type Listening, listen } from '../listen.ts';
import type { CloseReason, ServeEvents, ServeOptions, Serving } from '../serve.ts';

const around = readSurroundings(process.env);
const lifetime = new Lifetime(around);
const servings = new Set<ServingServer>();
const watched = new Set<NodeJS.Signals>();

/** See serve.ts. */
export async function start(server: Server, given: ServeOptions | number | string): Promise<Serving> {
  const asked: ServeOptions = typeof given === 'object' && given !== null ? given : parseAddress(given);
  const { drain = {}, handoff, signals, ...options } = asked;
  settingsOf(drain);
  const wanted = checkSignals(signals) ?? ['SIGTERM', 'SIGINT', ...(around ? [around.stopSignal] : [])];
  if (handoff) handOff(server, handoff);
  setServed(server);
  const waiting = options.signal && untilListening(options.signal);
  const listening = await listen(server, { ...options, signal: waiting?.signal }).finally(waiting?.done);
  lifetime.add(server);
  const serving = new ServingServer(server, listening, drain, wanted);
  options.signal?.addEventListener('abort', () => serving.stop('abort'), { once: true });
  for (const name of wanted) watch(name);
  notify('READY=1');
  return serving;
}

function checkSignals(given: unknown): NodeJS.Signals[] | undefined {
  if (given === undefined) return undefined;
  const known = (name: unknown): name is NodeJS.Signals => typeof name === 'string' && name in constants.signals;
  if (Array.isArray(given) && given.every(known)) return given;
  throw invalidArgument('signals', given, 'a list of signal names such as SIGTERM');
}

/** `listen` closes a server when its signal is aborted later: here it is drained. */
function untilListening(signal: AbortSignal): { signal: AbortSignal; done: () => void } {
  const controller = new AbortController();
  const abort = () => controller.abort(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  return { signal: controller.signal, done: () => signal.removeEventListener('abort', abort) };
}

/** All servings of a process stop together. */
function watch(signal: NodeJS.Signals): void {
  if (watched.has(signal)) return;
  watched.add(signal);
  const stop = () => Promise.all([...servings].filter(one => one.signals.has(signal)).map(one => one.stop(signal)));
  const hurry = () => {
    for (const serving of servings) serving.hurry();
  };
  onStopSignal(signal, stop, signal === 'SIGINT' ? hurry : undefined);
}

/** Tells whoever started us, where somebody wants to know (sd_notify(3)). */
function notify(state: string): void {
  const path = process.env.NOTIFY_SOCKET;
  if (!path) return;
  try {
    sendDatagram(path, state);
  } catch (error) {
    warnOnce(`Cannot tell ${path} ${state}: ${String(error)}`);
  }
}

class ServingServer implements Serving {
  readonly address: Serving['address'];
  readonly adopted: boolean;
  readonly events = new EventEmitter<ServeEvents>();
  readonly closed: Promise<DrainReport>;
  readonly signals: ReadonlySet<NodeJS.Signals>;
  readonly #server: Server;
  readonly #listening: Listening;
  readonly #drain: NonNullable<ServeOptions['drain']>;
  readonly #hurry = new AbortController();
  #settle: (report: DrainReport) => void = () => undefined;
  #stopping = false;

  constructor(
    server: Server,
    listening: Listening,
    drain: NonNullable<ServeOptions['drain']>,
    signals: readonly NodeJS.Signals[],
  ) {
    this.address = listening.address;
    this.adopted = listening.adopted;
    this.signals = new Set(signals);
    this.#server = server;
    this.#listening = listening;
    this.#drain = drain;
    this.closed = new Promise(settle => {
      this.#settle = settle;
    });
    servings.add(this);
    server.once('close', () => this.stop('close'));
  }

  close(): Promise<DrainReport> {
    return this.stop('close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Cuts what is left. */
  hurry(): void {
    this.#hurry.abort();
  }

  stop(reason: CloseReason): Promise<DrainReport> {
    if (!this.#stopping) {
      this.#stopping = true;
      this.#run(reason);
    }
    return this.closed;
  }

  async #run(reason: CloseReason): Promise<void> {
    this.events.emit('draining', reason);
    if (servings.size === 1) notify('STOPPING=1');
    const signals = [this.#hurry.signal, this.#drain.signal].filter(signal => signal !== undefined);
    const draining = lifetime.stop(
      {
        deadline: around ? deadlineUnder(around) : undefined,
        ...this.#drain,
        shared: around?.intercepted === true || this.adopted,
        signal: AbortSignal.any(signals),
      },
      [this.#server],
    );
    draining.events.on('progress', progress => this.events.emit('progress', progress));
    const report = await draining;
    // It has no connection and no listener any more; what is left is the file of a unix socket.
    await this.#listening.close();
    servings.delete(this);
    this.#settle(report);
    this.events.emit('closed', report);
  }
}
