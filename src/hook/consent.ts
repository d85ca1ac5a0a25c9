import { writeFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { processIds } from '../kernel/process.ts';
import type { Surroundings } from './surroundings.ts';

/** How a process was started. */
export interface Started {
  /** Of process.argv, where Node has made it absolute. */
  script: string | undefined;
  /** What Node was told, NODE_OPTIONS too: words, or several in one. */
  options: readonly string[];
}

/**
 * Options of Node that do nothing before the program's first line but set something, or load what follows the hook: those
 * of NODE_OPTIONS come before those of the command line, and the hook's before all others (node(1), "NODE_OPTIONS").
 */
const HARMLESS = new Set([
  ...['--require', '-r', '--import', '--conditions', '-C', '--enable-source-maps', '--preserve-symlinks'],
  ...['--preserve-symlinks-main', '--experimental-strip-types', '--experimental-transform-types'],
  ...['--experimental-detect-module', '--experimental-require-module', '--experimental-vm-modules'],
  ...['--experimental-specifier-resolution', '--experimental-default-type', '--experimental-sqlite'],
  ...['--no-warnings', '--no-deprecation', '--trace-warnings', '--trace-deprecation', '--disable-warning'],
  ...['--trace-uncaught', '--unhandled-rejections', '--stack-trace-limit', '--stack-size', '--title', '--expose-gc'],
  ...['--max-old-space-size', '--max-semi-space-size', '--max-http-header-size', '--dns-result-order'],
]);

/**
 * Whether the same command, started in advance, may wait in front of its first line for the restart: whatever Node has read
 * by then must be what it would read at the restart. The supervisor looks after the files that Node always reads.
 *
 * | the process                                                        | may |
 * |--------------------------------------------------------------------|-----|
 * | runs a script, and Node got nothing but harmless options           | yes |
 * | has another option: `--env-file`, `--inspect`, `--watch`, `--test` | no  |
 * | has it in NODE_OPTIONS                                             | no  |
 * | runs no script: `-e`, stdin                                        | no  |
 */
export function mayStandBy({ script, options }: Started): boolean {
  if (script === undefined || !isAbsolute(script)) return false;
  const words = options.flatMap(text => text.split(/\s+/));
  return words.every(word => !word.startsWith('-') || HARMLESS.has(word.replace(/=.*/s, '')));
}

/**
 * Tells the supervisor, where it is this process that it has started: the leader of its session. It starts nothing in
 * advance that has not said so.
 */
export function consentToStandBy({ directory, generation }: Surroundings, started: Started): void {
  if (processIds(process.pid)?.sid !== process.pid || !mayStandBy(started)) return;
  try {
    writeFileSync(join(directory, `may-stand-by-${generation}-${process.pid}`), '');
  } catch {
    // Whoever cannot say so does without.
  }
}
