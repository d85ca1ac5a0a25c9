import { accessSync, constants, existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { invalidArgument, RelistenError } from '../errors.ts';
import { codeOf } from '../kernel/errno.ts';
import { hasCapability } from '../kernel/procfs.ts';
import { defaultName } from '../supervise/name.ts';
import { checkPorts, DEFAULTS, type PortOption, type SuperviseOptions } from '../supervise/options.ts';
import { findUser, mayRead, type User } from '../supervise/user.ts';
import { formatDuration } from './duration.ts';
import { hasKeyboard } from './keys.ts';

/** The options of `relisten run` as commander parsed them. */
export interface RunFlags {
  name?: string;
  port?: PortOption[];
  protocol?: SuperviseOptions['protocol'];
  intercept: boolean;
  hook: boolean;
  standby?: number | false;
  warmHttp?: string[];
  readyHttp?: string;
  readyTcp?: true;
  readyLine?: RegExp;
  readyNotify?: true;
  readyTimeout?: number;
  strategy?: SuperviseOptions['strategy'];
  slowStart?: number;
  stopSignal?: NodeJS.Signals;
  drain?: number;
  maxDraining?: number;
  giveUp?: number;
  watch?: true | string[];
  evict?: true;
  cwd?: string;
  envFile?: string;
  user?: string;
  keys: boolean;
  json?: true;
  quiet?: true;
}

/** What the command line asks for. */
export interface RunOptions {
  supervise: SuperviseOptions;
  /** What will not be had, and why. */
  warnings: string[];
  /** What it is to be called. */
  name: string;
  /** The name was given, so no other will do. */
  named: boolean;
  /** Globs below the directory; all of it where none are named; undefined: do not watch. */
  watch?: string[];
  /** There is a terminal whose keys we may read. */
  keys: boolean;
  json: boolean;
  quiet: boolean;
}

const RESTRICTED =
  "Node's permission model is on (--permission) and addons are not allowed: the hook is left out, so nothing is handed off (docs/hook.md)";

/**
 * Whether Node runs under its permission model and may load no addons: the hook, which it may not even read, would keep
 * the program from starting. Who allows addons has made room for us.
 */
export function isRestricted(words: readonly string[]): boolean {
  const text = ` ${words.join(' ')} `;
  return /\s--(experimental-)?permission\s/.test(text) && !/\s--allow-addons\s/.test(text);
}

/** What NODE_OPTIONS loads into Node programs. */
const HOOK = fileURLToPath(new URL('../hook/hook.cjs', import.meta.url));

/**
 * Checks everything that can be checked before anything is started.
 *
 * @throws RelistenError
 */
export function toRunOptions(command: string[], flags: RunFlags): RunOptions {
  const ports = flags.port ?? [];
  checkPorts(ports);
  checkWarmHttp(flags);
  checkSlowStart(flags);
  const here = currentDirectory();
  const cwd = checkDirectory(resolve(here, flags.cwd ?? ''));
  const envFile = flags.envFile === undefined ? undefined : checkEnvFile(resolve(here, flags.envFile));
  const user = flags.user === undefined ? undefined : findUser(flags.user);
  const watch = flags.watch === true ? [] : flags.watch;
  const { json = false, quiet = false } = flags;
  const hookless = flags.hook ? whyNoHook(command, user) : undefined;
  const keys = flags.keys && !json && hasKeyboard();
  const { readyNotify: notify, readyHttp: http, readyTcp: tcp, readyLine: line } = flags;
  return {
    supervise: {
      command,
      ports,
      protocol: flags.protocol ?? DEFAULTS.protocol,
      intercept: flags.intercept,
      ready: { notify, http, tcp, line },
      readyTimeoutMs: flags.readyTimeout ?? DEFAULTS.readyTimeoutMs,
      strategy: flags.strategy ?? DEFAULTS.strategy,
      slowStartMs: flags.slowStart ?? DEFAULTS.slowStartMs,
      stopSignal: flags.stopSignal ?? DEFAULTS.stopSignal,
      drainMs: flags.drain ?? DEFAULTS.drainMs,
      maxDraining: flags.maxDraining ?? DEFAULTS.maxDraining,
      outliveFailedStart: watch !== undefined,
      giveUp: flags.giveUp,
      evict: flags.evict ?? false,
      hook: flags.hook && hookless === undefined ? HOOK : undefined,
      standbyMs: standbyOf(flags),
      warmHttp: flags.warmHttp ?? [],
      cwd,
      envFile,
      user: flags.user,
    },
    warnings: [hookless, whyNoEviction(flags)].filter(why => why !== undefined),
    name: flags.name ?? defaultName(command, cwd),
    named: flags.name !== undefined,
    watch,
    keys,
    json,
    quiet,
  };
}

/** @throws RelistenError where there is never anything to warm up, or nobody to do it */
function checkWarmHttp({ warmHttp, hook, strategy }: RunFlags): void {
  if (!warmHttp) return;
  const why = hook
    ? strategy === 'stop-first' && '--strategy stop-first, in which nobody serves meanwhile'
    : '--no-hook, which is what warms a Node program up';
  if (why) throw invalidArgument('--warm-http', warmHttp.join(', '), `nothing together with ${why}`);
}

/** @throws RelistenError where no two generations ever serve together */
function checkSlowStart({ slowStart, strategy }: RunFlags): void {
  if (!slowStart || strategy !== 'stop-first') return;
  const accepted =
    'nothing together with --strategy stop-first, in which the old one has ended before the new one starts';
  throw invalidArgument('--slow-start', formatDuration(slowStart), accepted);
}

function standbyOf({ standby }: RunFlags): number | undefined {
  return standby === false ? undefined : (standby ?? DEFAULTS.standbyMs);
}

/** Undefined where the program gets the hook. */
function whyNoHook(command: readonly string[], user: User | undefined): string | undefined {
  if (isRestricted([...command, process.env.NODE_OPTIONS ?? ''])) return RESTRICTED;
  if (!user || mayRead(HOOK, user)) return undefined;
  return `${user.name} cannot read ${HOOK}: the hook is left out, so Node programs do not drain or hand off`;
}

/** linux/capability.h: what destroying a socket takes. */
const CAP_NET_ADMIN = 12;

function whyNoEviction({ evict }: RunFlags): string | undefined {
  if (!evict || hasCapability(CAP_NET_ADMIN)) return undefined;
  return '--evict needs CAP_NET_ADMIN: what blocks an address is waited for';
}

/**
 * By the name that whoever is in it calls it, as shells do (POSIX, environment variable PWD): where that is a symbolic link
 * which is switched to the next release, the next generation runs there.
 */
function currentDirectory(): string {
  try {
    const physical = process.cwd();
    const { PWD } = process.env;
    return PWD && isAbsolute(PWD) && existsSync(PWD) && realpathSync(PWD) === physical ? PWD : physical;
  } catch (cause) {
    throw unusable('use the current directory', 'it was removed', cause);
  }
}

function checkDirectory(path: string): string {
  try {
    accessSync(path, constants.R_OK | constants.X_OK);
  } catch (cause) {
    throw unusable(`use the directory ${path}`, WHY[codeOf(cause) ?? ''] ?? String(cause), cause);
  }
  if (!statSync(path).isDirectory()) throw unusable(`use the directory ${path}`, 'it is no directory');
  return path;
}

function checkEnvFile(path: string): string {
  restoreEnvironment();
  try {
    parseEnv(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw unusable(`read the env file ${path}`, WHY[codeOf(cause) ?? ''] ?? String(cause), cause);
  }
  return path;
}

/**
 * Node 20 and 22 take `--env-file` for an option of their own wherever it stands, and have read the file into our
 * environment: what is deleted from it later would stay. proc_pid_environ(5) is what we were started with.
 */
function restoreEnvironment(): void {
  let entries: string[];
  try {
    entries = readFileSync('/proc/self/environ', 'utf8').split('\0').filter(Boolean);
  } catch {
    return;
  }
  const names = new Set(entries.map(entry => entry.slice(0, entry.indexOf('='))));
  for (const name of Object.keys(process.env)) if (!names.has(name)) delete process.env[name];
}

const WHY: Record<string, string> = {
  ENOENT: 'it does not exist',
  ENOTDIR: 'a part of the path is no directory',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
};

function unusable(what: string, why: string, cause?: unknown): RelistenError {
  return new RelistenError(`Cannot ${what}: ${why}`, { code: 'ERR_INVALID_ARG_VALUE', op: 'validate', cause });
}
