import { isatty } from 'node:tty';
import type { EndStatus } from '../supervise/supervisor.ts';
import { endBy, endOf } from './end.ts';
import type { Orders } from './orders.ts';

const terminals = [0, 1, 2].filter(fd => isatty(fd));

/** Whether a terminal that we were started on was closed. */
function wasHungUp(): boolean {
  return terminals.some(fd => !isatty(fd));
}

/** The signal that has ordered the end, the first one where there were several. */
let ordered: 'SIGTERM' | 'SIGINT' | undefined;

/**
 * Ends this process as {@link endOf} says, and by SIGHUP where a terminal was closed: Node 20 aborts in exit(3) when it cannot
 * give that back as it was.
 *
 * @param stopSignal what the command was told to end by
 */
export function endProcess({ code, reason }: EndStatus, stopSignal: NodeJS.Signals): never {
  if (wasHungUp()) endBy('SIGHUP');
  const end = endOf(code, ordered ?? (reason === undefined ? 'request' : undefined), stopSignal);
  if (typeof end === 'number') process.exit(end);
  process.emit('exit', code); // gives the terminal back
  process.removeAllListeners('exit');
  endBy(end);
}

/**
 * What signals order:
 *
 * | signal          | the first time | again       |
 * |-----------------|----------------|-------------|
 * | SIGTERM, SIGINT | drain and end  | end at once |
 * | SIGHUP, SIGUSR2 | restart        | restart     |
 *
 * SIGHUP means the end where it comes because the terminal was closed, and nothing more where it comes again.
 */
export function obeySignals(orders: Orders): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      ordered ??= signal;
      orders.stop(signal);
    });
  }
  process.on('SIGUSR2', () => orders.restart('SIGUSR2'));
  process.on('SIGHUP', () => {
    if (wasHungUp()) orders.hangUp();
    else orders.restart('SIGHUP');
  });
}
