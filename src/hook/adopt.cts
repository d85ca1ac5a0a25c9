/*
 * Adopts listeners that were inherited (sd_listen_fds(3)) where relisten cannot do it in the kernel: `server.listen(3000)`
 * of an unmodified program gets the held listener of that address. Loaded in processes that were given any, only.
 */

type Server = import('node:net').Server;
type ListenOptions = import('node:net').ListenOptions & { exclusive?: boolean; fd?: number };

/** A listening handle of libuv, not yet any server's. */
interface Inherited {
  handle: object;
  address: { address?: string; port?: number } | string;
}

const net = process.getBuiltinModule('net');
const FIRST_FD = 3;
const WILDCARDS = new Set(['0.0.0.0', '::']);
const LOOPBACKS = new Set(['127.0.0.1', '::1']);

const inherited = readInherited();
if (inherited.length > 0) interceptListen();

/** LISTEN_PID is missing where the supervisor could not know it; behind a shell it names the shell that became us. */
function readInherited(): Inherited[] {
  const { LISTEN_FDS, LISTEN_PID } = process.env;
  const count = Number(LISTEN_FDS);
  const ours = LISTEN_PID === undefined || Number(LISTEN_PID) === process.pid;
  if (!ours || !Number.isSafeInteger(count) || count < 1) return [];
  // They are ours now; children of ours would find other files under these numbers.
  for (const name of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) delete process.env[name];
  return Array.from({ length: count }, (_, index) => open(FIRST_FD + index)).filter(one => one !== undefined);
}

/** Node makes a handle of a listening descriptor as it does of a connected one; nothing is read from it. */
function open(fd: number): Inherited | undefined {
  try {
    const socket = new net.Socket({ fd, readable: false, writable: false });
    const handle: unknown = Reflect.get(socket, '_handle');
    if (typeof handle !== 'object' || handle === null) return undefined;
    Reflect.set(socket, '_handle', null);
    return { handle, address: addressOf(handle) };
  } catch {
    return undefined; // closed, a file, a datagram socket: not a listener that a program could want
  }
}

function addressOf(handle: object): Inherited['address'] {
  const name: { address?: string; port?: number } = {};
  const getsockname: unknown = Reflect.get(handle, 'getsockname');
  if (typeof getsockname === 'function') Reflect.apply(getsockname, handle, [name]);
  return name;
}

function interceptListen(): void {
  const { prototype } = net.Server;
  const { listen } = prototype;
  const adopting = function (this: Server, ...args: unknown[]): Server {
    const [options, callback] = normalize(args);
    const found = inherited.findIndex(({ address }) => matches(options, address));
    const [adopted] = found === -1 ? [] : inherited.splice(found, 1);
    if (!adopted) return Reflect.apply(listen, this, args);
    return Reflect.apply(listen, this, [adopted.handle, options.backlog, callback ?? undefined]);
  };
  Object.defineProperty(prototype, 'listen', { value: adopting, configurable: true, writable: true });
}

/** Undocumented, and what every listen() begins with (since Node 0.x). */
function normalize(args: unknown[]): [ListenOptions, (() => void) | null] {
  return Reflect.apply(Reflect.get(net, '_normalizeArgs') as (...args: unknown[]) => never, net, [args]);
}

/**
 * | listen() asks for      | and the listener has        | adopted |
 * |------------------------|-----------------------------|---------|
 * | another port, or 0     | -                           | no      |
 * | no host                | a wildcard                  | yes     |
 * | `localhost`            | a loopback address          | yes     |
 * | a host                 | the same                    | yes     |
 * | a path, fd or handle   | -                           | no      |
 */
function matches({ port, host, path, fd }: ListenOptions, address: Inherited['address']): boolean {
  if (typeof address === 'string' || path !== undefined || fd !== undefined || !address.address) return false;
  if (!Number(port) || Number(port) !== address.port) return false;
  if (host === undefined || host === '') return WILDCARDS.has(address.address);
  return host === address.address || (host === 'localhost' && LOOPBACKS.has(address.address));
}
