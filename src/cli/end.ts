import { constants } from 'node:os';

/** What relisten was told to end by; a request is `q`, or `relisten stop`. */
export type EndOrder = 'SIGTERM' | 'SIGINT' | 'request';

/**
 * How relisten ends:
 *
 * | told by | the command ended                                            | relisten ends           |
 * |---------|--------------------------------------------------------------|-------------------------|
 * | SIGINT  | with 0, or by a signal, or with the code that says so        | by SIGINT               |
 * | SIGTERM | by SIGTERM or the stop signal, or with the code that says so | by SIGTERM              |
 * | request | the same                                                     | with 0                  |
 * | any     | otherwise                                                    | with the command's code |
 *
 * A shell ends its loop or its script only if what it waits for was ended by SIGINT, and not where that says so by a code
 * (https://www.cons.org/cracauer/sigint.html). A service manager takes an end by SIGTERM for success, and the code that says
 * the same for a failure, after which it may start the service again (systemd.service(5), SuccessExitStatus=, Restart=).
 *
 * @param code of the command, as shells say it
 * @param stopSignal what relisten told the command to end by
 */
export function endOf(
  code: number,
  order: EndOrder | undefined,
  stopSignal: NodeJS.Signals,
): 'SIGINT' | 'SIGTERM' | number {
  if (order === 'SIGINT') return code === 0 || code > SIGNALLED ? 'SIGINT' : code;
  const endedAsTold = code === codeOfSignal('SIGTERM') || code === codeOfSignal(stopSignal);
  if (order === undefined || !endedAsTold) return code;
  return order === 'SIGTERM' ? 'SIGTERM' : 0;
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
