import { resolve } from 'node:path';
import { formatAddress, type SocketAddress } from '../address.ts';
import { RelistenError } from '../errors.ts';
import { encodeSockaddr } from '../kernel/sockaddr.ts';
import { describeSocket, localAddress } from '../kernel/socket.ts';

/*
 * Listeners that were inherited by the protocol of sd_listen_fds(3): LISTEN_FDS descriptors from 3 on, for the process
 * LISTEN_PID, with names in LISTEN_FDNAMES.
 */

const FIRST_FD = 3; // SD_LISTEN_FDS_START
const VARIABLES = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'];

/** A descriptor as LISTEN_FDS announces it, before anybody has looked at it. */
export interface InheritedFd {
  fd: number;
  /** From LISTEN_FDNAMES; `unknown` where it gives none, as systemd has it. */
  name: string;
}

/** Descriptors of LISTEN_FDS that were taken: the variables are gone, or still name them. */
const taken = new Set<number>();
/** What was left when the variables were removed. */
let rest: InheritedFd[] = [];

/**
 * The descriptors that are meant for this process and that nobody has adopted yet.
 *
 * @throws RelistenError `ERR_LISTEN_FDS` where the variables make no sense
 */
export function inheritedFds(env: NodeJS.ProcessEnv = process.env, pid = process.pid): InheritedFd[] {
  return [...rest, ...parseListenFds(env, pid)].filter(({ fd }) => !taken.has(fd));
}

/** Marks it as used; what is still in the environment is removed, so that no child takes it for its own. */
export function adopt({ fd }: InheritedFd, env: NodeJS.ProcessEnv = process.env): void {
  const left = inheritedFds(env).filter(other => other.fd !== fd);
  taken.add(fd);
  rest = left;
  for (const name of VARIABLES) delete env[name];
}

/**
 * | LISTEN_PID        | LISTEN_FDS                 | answer             |
 * |-------------------|----------------------------|--------------------|
 * | any               | unset                      | none               |
 * | unset, or another | any                        | none: it is not meant for us |
 * | ours              | not a whole number above 0 | an error           |
 * | ours              | n                          | n descriptors from 3 on |
 */
export function parseListenFds(env: NodeJS.ProcessEnv, pid: number): InheritedFd[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = env;
  if (LISTEN_FDS === undefined || LISTEN_PID !== String(pid)) return [];
  const count = /^\d{1,4}$/.test(LISTEN_FDS) ? Number(LISTEN_FDS) : 0;
  if (count === 0) throw lie(`LISTEN_FDS is ${JSON.stringify(LISTEN_FDS)}, expected how many descriptors are passed`);
  const names = LISTEN_FDNAMES?.split(':') ?? [];
  return Array.from({ length: count }, (_, index) => ({ fd: FIRST_FD + index, name: names[index] || 'unknown' }));
}

/**
 * The address of an inherited listener.
 *
 * @throws RelistenError `ERR_LISTEN_FDS` where it is none: not open, not a socket, a connection, a datagram socket
 */
export function checkListener({ fd, name }: InheritedFd): SocketAddress {
  const kind = describeSocket(fd);
  const which = `LISTEN_FDS passes descriptor ${fd} (${name})`;
  const expected = 'expected a stream socket that listens';
  if (!kind) throw lie(`${which}, which is not open or not a socket, ${expected}`);
  if (kind.domain === undefined) throw lie(`${which}, a socket of a family that is neither IP nor unix, ${expected}`);
  if (!kind.stream) throw lie(`${which}, which is no stream socket, ${expected}`);
  const address = localAddress(fd);
  if (!kind.listening || !address) throw lie(`${which}, a connection or a socket that does not listen, ${expected}`);
  return address;
}

function lie(message: string): RelistenError {
  return new RelistenError(`Cannot adopt a listener: ${message}`, { code: 'ERR_LISTEN_FDS', op: 'adopt' });
}

/** What a server wants to listen on. */
export interface Wanted {
  /** The name in LISTEN_FDNAMES; what has it must be at the address, too. */
  name?: string;
  /** As asked; undefined for whatever is inherited. */
  address?: { port: number; host?: string } | { path: string };
  /** What a host name stands for. */
  resolved: readonly SocketAddress[];
}

/** An inherited listener and where it listens. */
export interface InheritedListener extends InheritedFd {
  address: SocketAddress;
}

/**
 * Which of the inherited listeners is the wanted one. Of those with the wanted name, or of all where none is wanted:
 *
 * | wanted                   | inherited                            | answer   |
 * |--------------------------|--------------------------------------|----------|
 * | any address              | the first                            | adopt    |
 * | port 0, no name          | any: a fresh port was asked for      | bind     |
 * | port 0, a name           | the first TCP one                    | adopt    |
 * | port, no host            | any with the port: whoever passed it may restrict the host | adopt |
 * | host and port            | exactly these                        | adopt    |
 * | path                     | this path                            | adopt    |
 * | host and port            | the port on another host             | conflict |
 * | any, with a name         | none of that name is there           | conflict, if that name was passed |
 * | anything else            |                                      | bind     |
 */
export function match(
  { name, address, resolved }: Wanted,
  inherited: readonly InheritedListener[],
): { adopt: InheritedListener } | { conflict: InheritedListener } | 'bind' {
  const candidates = name === undefined ? inherited : inherited.filter(listener => listener.name === name);
  const [first] = candidates;
  if (!first) return 'bind';
  if (address === undefined) return { adopt: first };
  if ('port' in address && address.port === 0 && name === undefined) return 'bind';
  const fitting = candidates.find(listener => fits(listener.address, address, resolved));
  if (fitting) return { adopt: fitting };
  const other = name === undefined ? candidates.find(listener => isPort(listener.address, address)) : first;
  return other ? { conflict: other } : 'bind';
}

function fits(
  have: SocketAddress,
  wanted: NonNullable<Wanted['address']>,
  resolved: readonly SocketAddress[],
): boolean {
  if ('path' in wanted) return have.family === 'unix' && samePath(have.path, wanted.path);
  if (!isPort(have, wanted) || have.family === 'unix') return false;
  if (wanted.host === undefined) return true;
  // The kernel's form: an IPv6 address has many texts.
  const bytes = encodeSockaddr(have);
  return resolved.some(other => 'host' in other && encodeSockaddr({ ...other, port: have.port }).equals(bytes));
}

/** Whether it is a TCP listener of the wanted port; any port does for 0. */
function isPort(have: SocketAddress, wanted: NonNullable<Wanted['address']>): boolean {
  return have.family !== 'unix' && 'port' in wanted && (wanted.port === 0 || wanted.port === have.port);
}

/** A name of the file system may have been bound relative to a folder; an abstract one is what it is. */
function samePath(one: string, other: string): boolean {
  if (one.startsWith('\0') || other.startsWith('\0')) return one === other;
  return resolve(one) === resolve(other);
}

/** The error for {@link match}'s conflict. */
export function mismatch(wanted: string, { fd, name, address }: InheritedListener): RelistenError {
  const message = `Cannot listen on ${wanted}: LISTEN_FDS passes ${formatAddress(address)} (descriptor ${fd}, ${name})`;
  return new RelistenError(`${message}, expected ${wanted}`, { code: 'ERR_LISTEN_FDS', op: 'adopt', address: wanted });
}
