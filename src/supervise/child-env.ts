import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { formatAddress } from '../address.ts';
import { RelistenError } from '../errors.ts';
import type { HeldListener } from './holder.ts';
import type { SuperviseOptions } from './options.ts';
import type { User } from './user.ts';

/** Set by whoever started relisten (another relisten, too), and meant for it alone. */
const NOT_INHERITED = [
  ...['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES', 'NOTIFY_SOCKET', 'WATCHDOG_PID', 'WATCHDOG_USEC'],
  'RELISTEN_WARM_HTTP',
];

/** sd_listen_fds(3): the first descriptor that is passed. */
const FIRST_FD = 3;

export interface ChildEnvFacts {
  generation: number;
  /** Private directory of this supervisor, for the handoff and for messages. */
  directory: string;
  notifySocket: string;
  /** What is passed, in order, from descriptor 3 on. */
  listeners: readonly HeldListener[];
  user: User | undefined;
  /** Of the Node hook, where the command gets it. */
  hook: string | undefined;
}

/**
 * The environment of a generation: ours, the env file's, and what tells the program about its listeners
 * (sd_listen_fds(3), sd_notify(3), Server::Starter's SERVER_STARTER_PORT).
 *
 * @throws RelistenError where the env file cannot be read
 */
export function childEnv(options: SuperviseOptions, facts: ChildEnvFacts): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, ...identityOf(facts.user), ...readEnvFile(options) };
  for (const name of NOT_INHERITED) delete env[name];
  env.RELISTEN_GENERATION = String(facts.generation);
  env.RELISTEN_DIR = facts.directory;
  env.RELISTEN_INTERCEPT = options.intercept ? '1' : '0';
  env.RELISTEN_STRATEGY = options.strategy;
  env.RELISTEN_STOP_SIGNAL = options.stopSignal;
  env.RELISTEN_SLOW_START_MS = String(options.slowStartMs);
  env.RELISTEN_DRAIN_MS = String(options.drainMs);
  if (options.warmHttp.length > 0) env.RELISTEN_WARM_HTTP = JSON.stringify(options.warmHttp);
  env.NOTIFY_SOCKET = facts.notifySocket;
  if (facts.hook !== undefined) env.NODE_OPTIONS = withHook(env.NODE_OPTIONS, facts.hook);
  return { ...env, ...listenEnv(options.protocol, facts.listeners) };
}

function identityOf(user: User | undefined): NodeJS.ProcessEnv {
  return user ? { USER: user.name, LOGNAME: user.name, HOME: user.home, SHELL: user.shell } : {};
}

function readEnvFile({ envFile }: SuperviseOptions): NodeJS.ProcessEnv {
  if (envFile === undefined) return {};
  try {
    return parseEnv(readFileSync(envFile, 'utf8'));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new RelistenError(`Cannot read the env file ${envFile}: ${why}`, { code: 'ERR_ENV_FILE', op: 'read', cause });
  }
}

function withHook(options: string | undefined, hook: string): string {
  const own = `--require ${JSON.stringify(hook)}`;
  return options ? `${own} ${options}` : own;
}

/** LISTEN_PID is missing here: only the process itself knows it (see {@link withListenPid}). */
function listenEnv(protocol: SuperviseOptions['protocol'], listeners: readonly HeldListener[]): NodeJS.ProcessEnv {
  if (listeners.length === 0) return {};
  if (protocol === 'server-starter') {
    const ports = listeners.map((listener, index) => `${formatStarterPort(listener)}=${FIRST_FD + index}`);
    return { SERVER_STARTER_PORT: ports.join(';') };
  }
  const names = listeners.map(listener => listener.name ?? formatAddress(listener.address).replaceAll(':', '_'));
  return { LISTEN_FDS: String(listeners.length), LISTEN_FDNAMES: names.join(':') };
}

/** Server::Starter leaves the wildcard out. */
function formatStarterPort({ address }: HeldListener): string {
  if (address.family === 'unix') return address.path;
  return address.host === '0.0.0.0' ? String(address.port) : formatAddress(address);
}

/**
 * The command, started by way of a shell that puts its own pid into LISTEN_PID and then becomes the command: no program
 * can know the pid beforehand.
 */
export function withListenPid(command: readonly string[]): string[] {
  return ['/bin/sh', '-c', 'export LISTEN_PID=$$; exec "$@"', 'relisten', ...command];
}
