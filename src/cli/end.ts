import { constants } from 'node:os';

/** What relisten was told to end by, if it was. */
export type EndOrder = 'SIGTERM' | 'SIGINT';

/**
 * How relisten ends:
 *
 * | told by | the command ended                                           | relisten ends           |
 * |---------|-------------------------------------------------------------|-------------------------|
 * | SIGINT  | with 0, or by a signal, or with the code that says so       | by SIGINT               |
 * | SIGTERM | by SIGTERM or the stop signal, or with the code that says so | by SIGTERM             |
 * | any     | otherwise                                                   | with the command's code |
 *
 * A shell ends its loop or its script only if what it waits for was ended by SIGINT, and not where that says so by a code
 * (https://www.cons.org/cracauer/sigint.html). A service manager takes an end by SIGTERM for success, and the code that says
 * the same for a failure (systemd.service(5), SuccessExitStatus=).
 *
 * @param code of the command, as shells say it
 * @param stopSignal what relisten told the command to end by
 */
export function endOf(code: number, order: EndOrder | undefined, stopSignal: NodeJS.Signals): EndOrder | number {
  const endedBy = (signal: NodeJS.Signals) => code === codeOfSignal(signal);
  if (order === 'SIGINT' && (code === 0 || code > SIGNALLED)) return order;
  if (order === 'SIGTERM' && (endedBy('SIGTERM') || endedBy(stopSignal))) return order;
  return code;
}

/**
 * Ends this process by a signal; with the code that says the same where that cannot be: as process 1, which the kernel does
 * not let end by a signal of its own (pid_namespaces(7)), and on Windows, which has no signals.
 */
export function endBy(signal: NodeJS.Signals): never {
  process.removeAllListeners(signal);
  if (process.platform !== 'win32') process.kill(process.pid, signal);
  process.exit(codeOfSignal(signal));
}

/** Codes above this say that a signal ended it (POSIX, Shell Command Language, 2.8.2). */
const SIGNALLED = 128;

function codeOfSignal(signal: NodeJS.Signals): number {
  return SIGNALLED + constants.signals[signal];
}
