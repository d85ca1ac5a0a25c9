import { constants } from 'node:os';
import { codeOf } from '../kernel/errno.ts';
import type { ExitStatus } from './generation.ts';

/** As a shell tells it: the code, or 128 and the signal's number. */
export function exitCode(exit: ExitStatus | undefined): number {
  return exit?.code ?? (exit?.signal ? 128 + constants.signals[exit.signal] : 0);
}

/**
 * The exit code for a start that failed.
 *
 * | what failed                            | code               |
 * |----------------------------------------|--------------------|
 * | the command does not exist             | 127                |
 * | it cannot be executed                  | 126                |
 * | it was not ready in time, and we ended it | 1: its own code says nothing |
 * | it ended                               | its own, never 0   |
 */
export function exitCodeOfFailure(error: unknown, exit: ExitStatus | undefined): number {
  const code = codeOf(error);
  if (code === 'ERR_COMMAND_NOT_FOUND') return 127;
  if (code === 'ERR_COMMAND_NOT_EXECUTABLE') return 126;
  if (code === 'ERR_NOT_READY') return 1;
  return exitCode(exit) || 1;
}

/** How a process ended, after its name. */
export function describeExit(exit: ExitStatus | undefined): string {
  if (exit?.signal) return `was ended by ${exit.signal}`;
  return exit?.code === null || exit === undefined ? 'ended' : `exited with ${exit.code}`;
}
