import type { ProcessFacts } from '../inspection.ts';

/** A `relisten run` or `relisten take` that holds a listener. */
export interface HoldingRelisten {
  facts: ProcessFacts;
  /** What `--name` said; undefined where it has one of relisten's choice. */
  name?: string;
}

/** The relisten among the processes that have a listener open: the others are what it runs. */
export function relistenAmong(owners: readonly ProcessFacts[]): HoldingRelisten | undefined {
  for (const facts of owners) {
    const verb = facts.argv.findIndex(
      (argument, index) => /^(?:run|take)$/.test(argument) && isRelisten(facts.argv[index - 1]),
    );
    if (verb !== -1) return { facts, name: nameIn(facts.argv.slice(verb + 1)) };
  }
  return undefined;
}

/** The command as npm links it, or the file that it is. */
function isRelisten(argument: string | undefined): boolean {
  return argument !== undefined && /(?:^|\/)relisten$|\/dist\/cli\/main\.js$/.test(argument);
}

function nameIn(options: readonly string[]): string | undefined {
  const end = options.indexOf('--');
  const own = end === -1 ? options : options.slice(0, end);
  const index = own.findIndex(option => /^(?:-n|--name)(?:=|$)/.test(option));
  const option = own[index];
  return option?.includes('=') ? option.slice(option.indexOf('=') + 1) : own[index + 1 || own.length];
}
