import { readdirSync, readFileSync, renameSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { parseAddress } from '../address.ts';
import { connectionName } from '../kernel/connection.ts';
import { close, growTable } from '../kernel/fd.ts';
import { aroundRequests, passRequest } from '../kernel/http-parser.ts';
import { acceptFrom } from '../kernel/pipe-handle.ts';
import { Poller } from '../kernel/poll.ts';
import { listenSeqpacket } from '../kernel/scm-rights.ts';
import { decodeSockaddr } from '../kernel/sockaddr.ts';
import { peerCredentials } from '../kernel/socket.ts';
import { setUsed } from '../kernel/socket-notes.ts';
import { canInject, Injector } from '../kernel/tcp-handle.ts';
import { Channel } from './channel.ts';
import { rememberAddress } from './describe.ts';
import { type GivenConnection, type Listener, type Message, matchListener } from './protocol.ts';
import { receiverPath, removePath } from './rendezvous.ts';
import { addRequests } from './requests.ts';
import { rawHandoffOf, setHandedOff } from './state.ts';
import { warnOnce } from './warn.ts';

/** Receives connections of older generations for the servers of this process. */
export interface Taker {
  /** From now on a server that is listening gets those that are its own. */
  add(server: Server): void;
  /** Takes no more; what was not answered stays with its giver. */
  close(): Promise<void>;
}

interface Place extends Listener {
  server: Server;
}

type Judged = { given: GivenConnection; fd: number; place: Place };

/** A giver that has so many at once has more. */
const MANY = 64;
/** Room in the process's table of descriptors, made while the first of many are served: 8 bytes each. */
const TABLE_SIZE = 32_768;

const STOPPED = 'its server has stopped listening';

/**
 * Receives in the private directory, from processes of the same user.
 *
 * The order of things keeps every connection with exactly one owner: a message is received, judged, answered, and only
 * when the answer is the kernel's to deliver is the first byte read. Whoever dies in between leaves it to the other, or
 * to the kernel to close.
 */
export function openTaker(directory: string, generation: number): Taker {
  return new ConnectionTaker(receiverPath(directory, generation));
}

class ConnectionTaker implements Taker {
  readonly #path: string;
  readonly #places: Place[] = [];
  readonly #channels = new Set<Channel>();
  readonly #stopAccepting: () => void;
  #poller: Poller | undefined;
  #room = 0;
  #hasGrown = false;

  constructor(path: string) {
    this.#path = path;
    // Under its name only when it listens: a giver that sees the name connects at once, and is told of it only once.
    const unnamed = `${path}.new`;
    removePath(unnamed);
    const listener = listenSeqpacket(unnamed);
    renameSync(unnamed, path);
    this.#stopAccepting = acceptFrom(listener, fd => this.#onGiver(fd));
  }

  add(server: Server): void {
    const text = rememberAddress(server);
    if (text === undefined) return;
    const protocol = 'maxRequestsPerSocket' in server ? 'http1' : 'tcp';
    const address = parseAddress(text);
    const local = 'path' in address ? address : { host: address.host ?? '::', port: address.port };
    this.#places.push({ text, address: local, protocol, server });
    server.once('close', () => {
      const at = this.#places.findIndex(place => place.server === server);
      if (at !== -1) this.#places.splice(at, 1);
    });
  }

  async close(): Promise<void> {
    this.#stopAccepting();
    removePath(this.#path);
    for (const channel of this.#channels) channel.close();
    this.#poller?.close();
  }

  #onGiver(fd: number): void {
    const { uid, pid } = peerCredentials(fd);
    if (uid !== process.getuid?.()) {
      close(fd);
      warnOnce(`Refused connections from pid ${pid}: it belongs to user ${uid}`);
      return;
    }
    this.#poller ??= new Poller();
    const channel: Channel = new Channel(fd, this.#poller, {
      onMessage: (message, fds) => this.#onMessage(channel, message, fds),
      onOverflow: () => channel.send(() => ({ message: { type: 'refused', why: 'full', room: 0 } })),
      onEnd: error => {
        this.#channels.delete(channel);
        if (error) warnOnce(`Refused connections from pid ${pid}: ${String(error)}`);
      },
    });
    this.#channels.add(channel);
    this.#room = freeDescriptors();
    channel.send(() => ({ message: { type: 'hello', room: this.#room } }));
  }

  #onMessage(channel: Channel, message: Message, fds: number[]): void {
    if (message.type !== 'give' || fds.length !== message.connections.length || fds.length === 0) {
      for (const fd of fds) close(fd);
      channel.close();
      this.#channels.delete(channel);
      warnOnce(`Refused a ${message.type} with ${fds.length} descriptors`);
      return;
    }
    this.#growTable(fds);
    const refused: number[] = [];
    const accepted: Judged[] = [];
    const judge = this.#judge();
    message.connections.forEach((given, index) => {
      const fd = fds[index] ?? -1;
      const place = judge(given, fd);
      if (typeof place === 'object') {
        accepted.push({ given, fd, place });
        return;
      }
      close(fd);
      refused.push(index);
      // Nobody is to blame for what comes while we stop: the giver knows a newer generation.
      if (place !== STOPPED) warnOnce(`Refused a connection of ${given.to}: ${place}`);
    });
    this.#room = Math.max(0, this.#room - accepted.length);
    channel.send(
      () => ({ message: { type: 'taken', refused, room: this.#room } }),
      fate => {
        // 'peer-gone': the giver has died, or given up for good; nobody else is left to serve them.
        if (fate === 'closed') for (const { fd } of accepted) close(fd);
        else takeAll(accepted);
      },
    );
  }

  #growTable(fds: readonly number[]): void {
    const [fd] = fds;
    if (fd === undefined || fds.length < MANY || this.#hasGrown) return;
    this.#hasGrown = true;
    growTable(fd, Math.min(TABLE_SIZE, this.#room)).catch(() => undefined);
  }

  /** For one message: the listener that a connection belongs to, or why there is none. */
  #judge(): (given: GivenConnection, fd: number) => Place | string {
    const listening = this.#places.filter(({ server }) => server.listening);
    const planned = new Map<Place, number>();
    // Most have the same address as the one before.
    const found = new Map<string, Place | string>();
    const find = (given: GivenConnection, name: string): Place | string => {
      const local = decodeSockaddr(Buffer.from(name, 'latin1'));
      if (!local) return 'its descriptor has no address';
      const place = matchListener(given, local, listening);
      if (place)
        return given.protocol !== 'tcp' || rawHandoffOf(place.server) ? place : 'its server has no handoff option';
      return this.#places.some(one => one.text === given.to) ? STOPPED : `nobody listens there for ${given.protocol}`;
    };
    return (given, fd) => {
      try {
        const name = connectionName(fd);
        const key = `${given.protocol} ${given.to} ${name}`;
        let place = found.get(key);
        if (place === undefined) {
          place = find(given, name);
          found.set(key, place);
        }
        if (typeof place === 'string') return place;
        const before = planned.get(place) ?? 0;
        if (!canInject(place.server, before)) return 'its server takes no more';
        planned.set(place, before + 1);
        return place;
      } catch (error) {
        return String(error);
      }
    };
  }
}

function takeAll(accepted: readonly Judged[]): void {
  const injectors = new Map<Server, Injector>();
  for (const item of accepted) {
    const { server } = item.place;
    let injector = injectors.get(server);
    if (!injector) {
      injector = new Injector(server);
      injectors.set(server, injector);
    }
    take(item, injector);
  }
  for (const injector of injectors.values()) injector.close();
}

function take({ given, fd, place: { server } }: Judged, injector: Injector): void {
  try {
    const socket = injector.inject(fd, injected => {
      setHandedOff(injected);
      if (given.used || given.protocol === 'tcp') setUsed(injected);
      if (given.unread) injected.unshift(given.unread);
    });
    if (given.protocol === 'tcp') rawHandoffOf(server)?.restore(socket, given.state ?? Buffer.alloc(0));
    else continueHttp(socket, server, given);
  } catch (error) {
    warnOnce(`Lost a connection of ${given.to}: ${String(error)}`);
  }
}

/** Timers and limits of a keep-alive connection go on where they were. */
function continueHttp(socket: Socket, server: Server, given: GivenConnection): void {
  if (!given.used) return;
  passRequest(socket);
  const requests = given.requests ?? 0;
  addRequests(socket, requests);
  const keepAlive = Number(Reflect.get(server, 'keepAliveTimeout'));
  const timeout = keepAlive > 0 ? Math.max(1, given.timeoutMs ?? keepAlive) : 0;
  if (timeout > 0) socket.setTimeout(timeout);
  let first = true;
  const letGo = aroundRequests(socket, proceed => {
    // As Node does when a request comes on a connection that was idle (resetSocketTimeout in _http_server.js).
    if (first && socket.timeout === timeout) socket.setTimeout(Number(Reflect.get(server, 'timeout')) || 0);
    first = false;
    if (requests > 0) return withLimit(server, requests, proceed);
    letGo();
    return proceed();
  });
}

/** `maxRequestsPerSocket` less the requests that another process has answered. */
function withLimit(server: Server, requests: number, proceed: () => unknown): unknown {
  const limit: unknown = Reflect.get(server, 'maxRequestsPerSocket');
  if (typeof limit !== 'number' || limit <= 0) return proceed();
  Reflect.set(server, 'maxRequestsPerSocket', Math.max(1, limit - requests));
  try {
    return proceed();
  } finally {
    Reflect.set(server, 'maxRequestsPerSocket', limit);
  }
}

/** How many descriptors this process may still open, less a tenth for connections and files of its own. */
function freeDescriptors(): number {
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  if (limit === undefined) return Number.MAX_SAFE_INTEGER;
  const reserve = Math.min(1_000, Math.ceil(Number(limit) / 10));
  return Math.max(0, Number(limit) - readdirSync('/proc/self/fd').length - reserve);
}
