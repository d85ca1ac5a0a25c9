import { holdExit } from './exit.ts';

/**
 * Runs `stop` at the first stop signal, before the program's own listeners, and holds the program's exit back until it is
 * over.
 *
 * | the program                              | when stop is over                                          |
 * |------------------------------------------|------------------------------------------------------------|
 * | has no listener                          | the signal ends it, as it would have                       |
 * | has one, which calls process.exit()      | it exits, with that code                                   |
 * | has one, which does not                  | goes on until it ends by itself                            |
 * | took its listener away, and raises again | the signal ends it                                         |
 *
 * @param again the signal came once more; wrappers such as npm send it twice, so this need not mean hurry
 */
export function onStopSignal(signal: NodeJS.Signals, stop: () => Promise<unknown>, again?: () => void): void {
  const listener = () => obey();
  const obey = signalListener(signal, listener, stop, again);
  // First of all, so that what the program's own listeners do to its servers finds them shielded.
  process.prependListener(signal, listener);
}

/**
 * What {@link onStopSignal} does at the signal.
 *
 * @param listener who is called by the signal, and calls this
 */
export function signalListener(
  signal: NodeJS.Signals,
  listener: () => void,
  stop: () => Promise<unknown>,
  again?: () => void,
): () => void {
  let state: 'running' | 'stopping' | 'over' = 'running';
  let unhandled = false;
  const end = () => {
    process.off(signal, listener);
    process.kill(process.pid, signal);
  };
  return () => {
    // Whoever of the program hears it now: it may have taken all listeners away since, or added one.
    const others = process.listeners(signal).filter(one => one !== listener).length;
    unhandled = others <= signalExitListeners();
    if (state === 'stopping') again?.();
    else if (state === 'over' && unhandled) end();
    if (state !== 'running') return;
    state = 'stopping';
    const exit = holdExit();
    stop().finally(() => {
      state = 'over';
      exit.release();
      if (unhandled) end();
      // The listener stays: to take it away would lose a signal that the program has raised and that is on its way. Nor does
      // a program end before that has arrived: libuv looks for signals only when it polls.
      else process.once('beforeExit', () => setImmediate(() => undefined));
    });
  };
}

/** The package signal-exit (3 and 4) listens too, and raises the signal again if nobody else does. */
function signalExitListeners(): number {
  const emitter: unknown =
    Reflect.get(process, '__signal_exit_emitter__') ?? Reflect.get(globalThis, Symbol.for('signal-exit emitter'));
  return typeof emitter === 'object' && emitter !== null ? Number(Reflect.get(emitter, 'count')) || 0 : 0;
}
