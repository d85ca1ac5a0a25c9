import cluster from 'node:cluster';
import { type AddressInfo, Server } from 'node:net';
import { type Address, formatAddress, type SocketAddress } from '../address.ts';
import { throwIfAborted } from '../bind/failure.ts';
import { resolveAddress } from '../bind/resolve.ts';
import { invalidArgument, RelistenError } from '../errors.ts';
import type { Inspection } from '../inspection.ts';
import { hasLibc } from '../kernel/libc.ts';
import { localAddress } from '../kernel/socket.ts';
import { giveToServer } from './give-to-server.ts';
import { adopt, checkListener, type InheritedListener, inheritedFds, match, mismatch } from './inherited.ts';
import { type Listening, listening } from './listening.ts';
import { openListener } from './open.ts';
import { type CheckedOptions, checkOptions, type ListenOptions } from './options.ts';
import { OwnedPath } from './owned-path.ts';
import { listenPlainly } from './plain.ts';
import { verify } from './verify.ts';

/** Servers that are on their way. */
const pending = new WeakSet<Server>();

/** What `listen()` does; see there. */
export async function start(server: Server, options: ListenOptions | number | string): Promise<Listening> {
  if (!(server instanceof Server))
    throw invalidArgument('server', server, 'a server of node:net, http, https or http2');
  const asked = checkOptions(options);
  if (server.listening || pending.has(server)) throw alreadyListening(asked);
  pending.add(server);
  try {
    throwIfAborted({ op: 'listen', address: asked.shown }, asked.signal);
    // A worker of node:cluster gets its listener from the primary, which knows nothing of our descriptors.
    return await (hasLibc() && !cluster.isWorker ? adoptOrBind(server, asked) : leaveToNode(server, asked));
  } finally {
    pending.delete(server);
  }
}

async function adoptOrBind(server: Server, asked: CheckedOptions): Promise<Listening> {
  const resolved = asked.address && (await resolveAddress(asked.address));
  const inherited = inheritedFds()
    .filter(({ name }) => asked.name === undefined || name === asked.name)
    .map(passed => ({ ...passed, address: checkListener(passed) }));
  const found = match({ name: asked.name, address: asked.address, resolved: resolved ?? [] }, inherited);
  if (found === 'bind') return bindNew(server, asked, resolved?.[0], inherited);
  if ('conflict' in found) throw mismatch(asked.shown, found.conflict);
  return useInherited(server, asked, found.adopt);
}

async function useInherited(server: Server, asked: CheckedOptions, listener: InheritedListener): Promise<Listening> {
  adopt(listener);
  const { fd, address } = listener;
  await giveToServer(server, fd, asked.backlog);
  const warnings = verify(fd, address, asked);
  return listening(server, { address, adopted: true, waited: 0, warnings }, undefined, asked.signal);
}

async function bindNew(
  server: Server,
  asked: CheckedOptions,
  wanted: SocketAddress | undefined,
  others: readonly InheritedListener[],
): Promise<Listening> {
  if (!wanted) throw invalidArgument('port', undefined, 'a port or a path, as no listener was inherited');
  const opened = await openListener(wanted, { ...asked, name: asked.shown, explain });
  const { fd, waited } = opened;
  const address = localAddress(fd) ?? wanted;
  const path = address.family === 'unix' && !address.path.startsWith('\0') ? new OwnedPath(address.path) : undefined;
  try {
    await giveToServer(server, fd, asked.backlog);
  } catch (error) {
    path?.release();
    throw error;
  }
  const warnings = [...opened.warnings, ...others.map(unused), ...verify(fd, address, asked)];
  return listening(server, { address, adopted: false, waited, warnings }, path, asked.signal);
}

function unused({ fd, name, address }: InheritedListener): string {
  return `LISTEN_FDS passes ${formatAddress(address)} (descriptor ${fd}, ${name}), which nobody has adopted yet`;
}

async function leaveToNode(server: Server, asked: CheckedOptions): Promise<Listening> {
  if (!asked.address)
    throw invalidArgument('port', undefined, 'a port or a path, as no listener can be inherited here');
  const startedAt = performance.now();
  const inherited = inheritedFds().map(
    ({ fd, name }) => `Descriptor ${fd} (${name}) of LISTEN_FDS is left alone: it cannot be looked at here`,
  );
  const warnings = [...inherited, ...(await listenPlainly(server, asked, explain))];
  const address = addressOf(server, asked.address);
  const waited = performance.now() - startedAt;
  return listening(server, { address, adopted: false, waited, warnings }, undefined, asked.signal);
}

function addressOf(server: Server, asked: Address): SocketAddress {
  if ('path' in asked) return { family: 'unix', path: asked.path };
  const { address, family, port } = server.address() as AddressInfo;
  return { family: family === 'IPv6' ? 'IPv6' : 'IPv4', host: address, port };
}

/** Loaded when something is in the way, and not before. */
async function explain(address: string): Promise<Inspection> {
  const { inspect } = await import('../inspect/inspect.ts');
  return inspect(address);
}

function alreadyListening({ shown }: CheckedOptions): RelistenError {
  const message = `Cannot listen on ${shown}: the server is listening already, expected one that is not`;
  return new RelistenError(message, { code: 'ERR_SERVER_ALREADY_LISTEN', op: 'listen', address: shown });
}
