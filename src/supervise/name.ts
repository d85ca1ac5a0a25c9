import { basename, extname } from 'node:path';
import { invalidArgument } from '../errors.ts';

/** Longer ones would not leave room for the files of a unix socket's path (sun_path, unix(7)). */
const MAX_DERIVED = 32;
const VALID = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/;

/** Programs that say nothing about which server they run. */
const INTERPRETERS =
  /^(?:node|nodejs|bun|deno|tsx|ts-node|npm|npx|pnpm|yarn|python|pypy|ruby|bundle|rackup|perl|php|lua|java|dotnet|go|cargo|make|env|sh|bash|dash|ash|zsh|ksh)[\d.]*$/;

/**
 * The name of a supervisor that was given none, from its command and directory:
 *
 * | program                              | directory    | name                        |
 * |--------------------------------------|--------------|-----------------------------|
 * | an interpreter, a shell, npm and such | /srv/shop    | `shop`                      |
 * | an interpreter, a shell, npm and such | /            | the program's, e.g. `node`  |
 * | any other                            | any          | the program's, e.g. `nginx` |
 */
export function defaultName(command: readonly string[], cwd: string): string {
  const file = basename(command[0] ?? '');
  const program = basename(file, extname(file)) || 'server';
  const folder = basename(cwd);
  return toName(INTERPRETERS.test(file) && folder !== '' ? folder : program);
}

function toName(text: string): string {
  const name = text.replace(/[^A-Za-z0-9_.-]+/g, '-').replace(/^[^A-Za-z0-9_]+|[^A-Za-z0-9_]+$/g, '');
  return name.slice(0, MAX_DERIVED) || 'server';
}

/** @throws RelistenError `ERR_INVALID_ARG_VALUE` for what cannot be a file's name or would be hard to type */
export function checkName(given: string): string {
  if (VALID.test(given)) return given;
  throw invalidArgument('name', given, 'up to 63 letters, digits, dots, dashes and underscores, no dot or dash first');
}
