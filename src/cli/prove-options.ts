import { invalidArgument } from '../errors.ts';
import type { ClassOptions } from '../prove/classes.ts';
import { namedLoad } from '../prove/loads.ts';
import type { ClientKind } from '../prove/result.ts';

/** The options of `relisten prove`, as commander hands them over. */
export interface ProveFlags {
  url?: string;
  restart?: string;
  restarts: number;
  kill?: boolean;
  load: string;
  rate: number;
  class?: ClassOptions[];
  path?: string;
  postPath?: string;
  slowPath?: string;
  timeout: number;
  warmUp: number;
  pause: number;
  least: number;
  deadline: number;
  allow: number;
  generationHeader?: string;
  runOption?: string[];
  json?: boolean;
  html?: string;
  remote?: boolean;
}

/** The classes that the command line asks for: those of `--class`, else the load's with its paths. */
export function classesOf(flags: ProveFlags): ClassOptions[] {
  if (flags.class) return flags.class.map(one => ({ ...one, rate: one.rate * flags.rate }));
  return namedLoad(flags.load, flags.rate).map(one => {
    const path = pathFor(one.kind, flags) ?? one.path;
    return path === undefined ? one : { ...one, path };
  });
}

function pathFor(kind: ClientKind, flags: ProveFlags): string | undefined {
  if (kind === 'slow') return flags.slowPath;
  if (kind === 'keep-alive-post') return flags.postPath ?? flags.path;
  return flags.path;
}

const CLASS_KEYS: Record<string, (value: string) => Partial<ClassOptions>> = {
  name: name => ({ name }),
  rate: value => ({ rate: number('rate', value) }),
  connections: value => ({ connections: number('connections', value) }),
  target: target => ({ target }),
  method: method => ({ method }),
  path: path => ({ path }),
  body: value => ({ bodyBytes: number('body', value) }),
  status: value => ({ expectStatus: number('status', value) }),
};

/**
 * Reads `kind,key=value,…` of --class, such as `slow,rate=5,path=/events`.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`
 */
export function parseClass(given: string, before: ClassOptions[] = []): ClassOptions[] {
  const [kind = '', ...pairs] = given.split(',');
  let one: ClassOptions = { kind: kind as ClientKind, rate: 50 };
  for (const pair of pairs) {
    const [key = '', ...rest] = pair.split('=');
    const read = Object.hasOwn(CLASS_KEYS, key) ? CLASS_KEYS[key] : undefined;
    if (!read || rest.length === 0) {
      throw invalidArgument('--class', given, `kind,key=value,… with the keys ${Object.keys(CLASS_KEYS).join(', ')}`);
    }
    one = { ...one, ...read(rest.join('=')) };
  }
  return [...before, one];
}

function number(what: string, given: string): number {
  const value = Number(given);
  if (given.trim() === '' || Number.isNaN(value)) throw invalidArgument(what, given, 'a number');
  return value;
}

/** A whole number of at least `least`, as commander's parser of an option's argument. */
export function atLeast(least: number, what: string): (given: string) => number {
  return given => {
    const value = number(what, given);
    if (Number.isInteger(value) && value >= least) return value;
    throw invalidArgument(what, given, `a whole number of at least ${least}`);
  };
}

/** A factor, as commander's parser of an option's argument. */
export function factor(given: string): number {
  const value = number('--rate', given);
  if (value > 0 && value <= 1000) return value;
  throw invalidArgument('--rate', given, 'a factor above 0 and up to 1000');
}

/**
 * What is to be restarted, as the command line says it.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE` where it says nothing, or two things
 */
export function formOf(flags: ProveFlags, command: string[]): 'shell' | 'supervised' {
  const accepted = 'either -- <command>, or --url with --restart';
  if (command.length > 0 && flags.restart !== undefined)
    throw invalidArgument('use', '--restart with a command', accepted);
  if (command.length > 0) return 'supervised';
  if (flags.kill)
    throw invalidArgument('use', '--kill without a command', 'a command that relisten runs, or a --restart that kills');
  if (flags.runOption) throw invalidArgument('use', '--run-option without a command', accepted);
  if (flags.url === undefined || flags.restart === undefined) {
    throw invalidArgument(
      'use',
      flags.url === undefined ? 'no command and no --url' : '--url without --restart',
      accepted,
    );
  }
  return 'shell';
}
