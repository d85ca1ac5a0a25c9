import type { Command } from 'commander';

/** Adds an "Examples" section to a command's `--help`: what to type, and what it does. */
export function examples(command: Command, lines: [typed: string, does: string][]): Command {
  const width = Math.max(...lines.map(([typed]) => typed.length));
  const text = lines.map(([typed, does]) => `  $ ${typed.padEnd(width)}  # ${does}`);
  return command.addHelpText('after', `\nExamples:\n${text.join('\n')}`);
}
