import { isatty } from 'node:tty';
import type { Orders } from './orders.ts';

/**
 * What signals order:
 *
 * | signal          | the first time | again       |
 * |-----------------|----------------|-------------|
 * | SIGTERM, SIGINT | drain and end  | end at once |
 * | SIGHUP, SIGUSR2 | restart        | restart     |
 *
 * SIGHUP means the end where it comes because the terminal was closed.
 */
export function obeySignals(orders: Orders): void {
  const hadTerminal = isatty(0);
  process.on('SIGTERM', () => orders.stop('SIGTERM'));
  process.on('SIGINT', () => orders.stop('SIGINT'));
  process.on('SIGUSR2', () => orders.restart('SIGUSR2'));
  process.on('SIGHUP', () => {
    if (hadTerminal && !isatty(0)) orders.stop('SIGHUP');
    else orders.restart('SIGHUP');
  });
}
