import { styleText } from 'node:util';
import { CommanderError } from 'commander';
import { RelistenError } from '../errors.ts';
import { codeOf } from '../kernel/errno.ts';

/*
 * How the commands speak: data on stdout, talk on stderr, colours where the stream is a terminal that wants them
 * (NO_COLOR, FORCE_COLOR and isTTY, through styleText).
 */

type Style = Parameters<typeof styleText>[0];

/** Text in a colour, where stdout shows colours. */
export function onStdout(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

/** Text in a colour, where stderr shows colours. */
export function onStderr(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stderr });
}

/** A reader that went away (`relisten why 3000 | head -1`) is no error. */
export function endOnClosedPipe(): void {
  process.stdout.on('error', endQuietly);
}

/** A line of data. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** What may wait for a reader of stderr that takes nothing: where nobody looks, nothing is kept for ever. */
const MAX_WAITING_BYTES = 1 << 20;
let unsaid = 0;

/** A line for the person who watches; dropped, and told of later, where too many wait to be read already. */
export function talk(line: string): void {
  const { stderr } = process;
  if (stderr.writableLength > MAX_WAITING_BYTES) {
    unsaid++;
    return;
  }
  if (unsaid > 0) stderr.write(`relisten: ${unsaid} lines are missing here: nobody read them\n`);
  unsaid = 0;
  stderr.write(`${line}\n`);
}

/** Says this line if it takes a while: whoever waits wants to know for what. */
export async function waitFor<T>(work: Promise<T>, line: string): Promise<T> {
  const timer = setTimeout(talk, 1_000, line);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}

function endQuietly(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
  reportError(error);
  process.exit(1);
}

/** Says what went wrong: one line, and the advice for what relisten foresaw; the stack only for what nobody did. */
export function reportError(error: unknown): void {
  const label = onStderr('red', 'relisten:');
  // The system's answer to a call says all: no space is left, the file is read-only.
  if (error instanceof Error && 'syscall' in error && codeOf(error) !== undefined) {
    talk(`${label} ${error.message}`);
    return;
  }
  if (!(error instanceof RelistenError)) {
    talk(`${label} unexpected error: ${error instanceof Error ? error.stack : String(error)}`);
    return;
  }
  talk(`${label} ${error.message}`);
  for (const line of error.advice ?? []) talk(`  ${line}`);
}

/** Exit codes of errors that are not a plain failure: usage errors, and what shells answer for commands they cannot run. */
const EXIT_CODES: Record<string, number> = {
  ERR_INVALID_ARG_VALUE: 2,
  ERR_COMMAND_NOT_EXECUTABLE: 126,
  ERR_COMMAND_NOT_FOUND: 127,
};

/**
 * The exit code that an error deserves.
 *
 * | error | code |
 * |---|---|
 * | commander's help and version | 0 |
 * | commander's usage errors, invalid arguments | 2 |
 * | a command that cannot be executed, or found | 126, 127 |
 * | everything else | 1 |
 */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  return EXIT_CODES[codeOf(error) ?? ''] ?? 1;
}
