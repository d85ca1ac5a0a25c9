import { tmpdir } from 'node:os';
import { basename } from 'node:path';
import type { SocketAddress } from '../address.ts';
import { argumentsOf, environmentOf } from '../kernel/procfs.ts';

/*
 * Listeners that serve no client. A process that has one need not be ready for clients, and nobody has to wait until the
 * next one has it too.
 */

/**
 * A temporary socket file, or an abstract name, that is named after the process which listens on it, such as
 * `/tmp/tsx-0/4711.pipe`: for itself and its own children, because nobody else could know where to connect.
 */
export function isPrivate(address: SocketAddress, pid: number): boolean {
  if (address.family !== 'unix' || !hasNumber(address.path, pid)) return false;
  return address.path.startsWith('\0') || TEMPORARY.some(directory => address.path.startsWith(`${directory}/`));
}

/**
 * Whether a unix socket, wherever it is, has the pid of its process in its name: the next generation's has another one. Not by
 * a number that a container's first processes have: it may be a version's (php8.2-fpm.sock).
 */
export function isNamedAfter(address: SocketAddress, pid: number): boolean {
  return address.family === 'unix' && pid >= RESERVED_PIDS && hasNumber(address.path, pid);
}

/** Pids below are given out once in a pid namespace (kernel/pid.c). */
const RESERVED_PIDS = 300;

function hasNumber(path: string, pid: number): boolean {
  const name = path.startsWith('\0') ? path : basename(path);
  return name.split(/\D+/).includes(String(pid));
}

const TEMPORARY = ['/tmp', '/var/tmp', tmpdir()];

/** The port of Node's inspector, which opens before the program's first line (node(1), `--inspect`). */
export function isDebugger(address: SocketAddress, pid: number): boolean {
  if (address.family === 'unix') return false;
  const options = environmentOf(pid).find(variable => variable.startsWith('NODE_OPTIONS='));
  const words = [...argumentsOf(pid), ...(options?.replace('NODE_OPTIONS=', '').split(/\s+/) ?? [])];
  return words.some(word => inspectorPort(word) === address.port);
}

const DEFAULT_INSPECTOR_PORT = 9229;

/** Undefined for other options. */
function inspectorPort(option: string): number | undefined {
  const match = /^--inspect(?:-brk|-wait|-port)?(?:=(?:.*:)?(.*))?$/.exec(option);
  if (!match) return undefined;
  const [, port = ''] = match;
  return /^\d+$/.test(port) ? Number(port) : DEFAULT_INSPECTOR_PORT;
}
