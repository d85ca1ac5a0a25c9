import { constants } from 'node:os';
import { isatty } from 'node:tty';
import type { Orders } from './orders.ts';

const terminals = [0, 1, 2].filter(fd => isatty(fd));

/** Whether a terminal that we were started on was closed. */
function wasHungUp(): boolean {
  return terminals.some(fd => !isatty(fd));
}

/** The signals that have ordered the end. */
const ordered = new Set<NodeJS.Signals>();

/**
 * Ends this process, by the signal that it would have ended by if it had no listener, where
 * - a terminal was closed: Node 20 aborts in exit(3) when it cannot give that back as it was;
 * - the end was ordered by the signal that the command then ended by: a service manager takes that for success, and the
 *   exit code that says the same for a failure (systemd.service(5), SuccessExitStatus=).
 *
 * As process 1 it exits with the code: the kernel does not let that end by a signal of its own (pid_namespaces(7)).
 */
export function endProcess(code: number): never {
  if (wasHungUp()) endBy('SIGHUP');
  for (const signal of ordered) {
    if (code !== 128 + constants.signals[signal]) continue;
    process.emit('exit', code); // gives the terminal back
    process.removeAllListeners('exit');
    endBy(signal);
  }
  process.exit(code);
}

function endBy(signal: NodeJS.Signals): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
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
      ordered.add(signal);
      orders.stop(signal);
    });
  }
  process.on('SIGUSR2', () => orders.restart('SIGUSR2'));
  process.on('SIGHUP', () => {
    if (wasHungUp()) orders.hangUp();
    else orders.restart('SIGHUP');
  });
}
