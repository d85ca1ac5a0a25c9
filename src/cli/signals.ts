import { isatty } from 'node:tty';
import type { Orders } from './orders.ts';

const terminals = [0, 1, 2].filter(fd => isatty(fd));

/** Whether a terminal that we were started on was closed. */
function wasHungUp(): boolean {
  return terminals.some(fd => !isatty(fd));
}

/**
 * Ends this process; one whose terminal was closed by SIGHUP, as it would have without a listener: Node 20 aborts in
 * exit(3) when it cannot give the terminal back as it was.
 */
export function endProcess(code: number): never {
  if (wasHungUp()) {
    process.removeAllListeners('SIGHUP');
    process.kill(process.pid, 'SIGHUP');
  }
  process.exit(code);
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
  process.on('SIGTERM', () => orders.stop('SIGTERM'));
  process.on('SIGINT', () => orders.stop('SIGINT'));
  process.on('SIGUSR2', () => orders.restart('SIGUSR2'));
  process.on('SIGHUP', () => {
    if (wasHungUp()) orders.hangUp();
    else orders.restart('SIGHUP');
  });
}
