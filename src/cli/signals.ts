import { isatty } from 'node:tty';
import { RelistenError } from '../errors.ts';
import type { Supervisor } from '../supervise/supervisor.ts';
import type { EventTalk } from './event-talk.ts';

/**
 * What signals ask of a supervisor:
 *
 * | signal           | the first time | again       |
 * |------------------|----------------|-------------|
 * | SIGTERM, SIGINT  | drain and end  | end at once |
 * | SIGHUP, SIGUSR2  | restart        | restart     |
 *
 * SIGHUP means the end where it comes because the terminal was closed.
 *
 * @returns stops listening to them
 */
export function obeySignals(supervisor: Supervisor, talk: EventTalk): () => void {
  const hadTerminal = isatty(0);
  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    talk.say({ type: 'notice', text: stopping ? `${signal} again: ending at once` : `${signal}: stopping` });
    stopping = true;
    void supervisor.stop();
  };
  const restart = (signal: NodeJS.Signals) => {
    if (signal === 'SIGHUP' && hadTerminal && !isatty(0)) return stop(signal);
    talk.say({ type: 'notice', text: `${signal}: restarting` });
    supervisor.restart().catch(error => {
      if (!(error instanceof RelistenError)) throw error;
      talk.say({ type: 'notice', text: error.message });
    });
  };
  const handlers: [NodeJS.Signals, (signal: NodeJS.Signals) => void][] = [
    ['SIGTERM', stop],
    ['SIGINT', stop],
    ['SIGHUP', restart],
    ['SIGUSR2', restart],
  ];
  for (const [signal, handler] of handlers) process.on(signal, handler);
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}
