import { type Server, Socket } from 'node:net';

/*
 * The handle under a net.Socket or net.Server, which Node does not document: how a connection leaves a process without
 * being closed, and how one from elsewhere enters. Tried on Node 20.20, 22.23, 24.21 and 26.10.
 */

interface StreamHandle {
  fd: number;
  reading: boolean;
  writeQueueSize: number;
  readStart(): number;
  readStop(): number;
  shutdown(request: unknown): number;
  open(fd: number): number | undefined;
  close(): void;
}

interface ServerHandle {
  onconnection?: (status: number, client: StreamHandle) => void;
}

/** What Node keeps in a server. */
interface ServerInternals {
  _handle?: ServerHandle | null;
  _connections?: number;
}

function insideServer(server: Server): ServerInternals {
  return server as unknown as ServerInternals;
}

function handleOf(socket: Socket): StreamHandle | undefined {
  // Not by Reflect.get, which V8 does not inline: this is done for thousands.
  const handle = (socket as unknown as { _handle?: unknown })._handle;
  return isStreamHandle(handle) ? handle : undefined;
}

function isStreamHandle(handle: unknown): handle is StreamHandle {
  return (
    typeof handle === 'object' && handle !== null && 'readStop' in handle && 'shutdown' in handle && 'fd' in handle
  );
}

const returnZero = () => 0;
const returnOne = () => 1;

/** A connection that nobody in this process reads or half-closes for the time being. */
export interface FrozenSocket {
  /** The descriptor, still Node's; undefined once the socket was closed. */
  fd(): number | undefined;
  /** Reads on, as if nothing had been. */
  thaw(): void;
}

/**
 * Stops the reading of a socket below everything that could start it again, so that bytes which arrive from now on stay
 * in the kernel. A close still closes this process's descriptor, which sends nothing as long as another one is open
 * (close(2)); a half-close does nothing, because it would reach the client through every copy (shutdown(2)).
 *
 * @returns undefined for what is not a plain TCP or unix stream with nothing left to write
 */
export function freeze(socket: Socket): FrozenSocket | undefined {
  const handle = handleOf(socket);
  if (!handle || socket.destroyed || !(handle.fd >= 0) || 'encrypted' in socket) return undefined;
  if (socket.writableLength > 0 || handle.writeQueueSize > 0 || socket.writableEnded || socket.readableEnded) {
    return undefined;
  }
  const wasReading = handle.reading;
  handle.readStop();
  handle.reading = false;
  // Own properties, before those of the handle's class. A 1 says that the half-close is done.
  handle.readStart = returnZero;
  handle.shutdown = returnOne;
  return {
    fd: () => (handleOf(socket) === handle && !socket.destroyed ? handle.fd : undefined),
    thaw() {
      // The last one first, which leaves the handle as it was before; V8 makes a dictionary of it otherwise.
      Reflect.deleteProperty(handle, 'shutdown');
      Reflect.deleteProperty(handle, 'readStart');
      if (!wasReading || handleOf(socket) !== handle || socket.destroyed) return;
      handle.reading = true;
      handle.readStart();
    },
  };
}

/** Whether a decoder (`setEncoding`) holds back bytes of a character that has not fully come. */
export function hasHalfCharacter(socket: Socket): boolean {
  const decoder: unknown = Reflect.get(Reflect.get(socket, '_readableState') ?? {}, 'decoder');
  return typeof decoder === 'object' && decoder !== null && Number(Reflect.get(decoder, 'lastNeed')) > 0;
}

/**
 * Whether a server can take a connection that it did not accept.
 *
 * @param planned how many it will be given before that
 */
export function canInject(server: Server, planned: number): boolean {
  const { _handle: handle, _connections: connections } = insideServer(server);
  if (typeof handle?.onconnection !== 'function') return false;
  const count = Number(connections) + planned;
  return !(server.maxConnections > 0 && count >= server.maxConnections);
}

/**
 * Gives connected sockets to a server, as if the server had accepted them: counted, with the server's options, announced
 * by 'connection'. The server's own code does it (`handle.onconnection`), so that it is what this Node does.
 */
export class Injector {
  readonly #server: Server;
  readonly #remember: (accepted: Socket) => void;
  #onSocket: ((socket: Socket) => void) | undefined;
  #accepted: Socket | undefined;

  constructor(server: Server) {
    this.#server = server;
    this.#remember = accepted => {
      if (!this.#onSocket) return;
      this.#accepted = accepted;
      this.#onSocket(accepted);
    };
    server.prependListener('connection', this.#remember);
  }

  /**
   * Owns the fd from the call on: it is closed where this throws.
   *
   * @param onSocket sees the socket before any listener of the server does
   */
  inject(fd: number, onSocket: (socket: Socket) => void): Socket {
    const listener = insideServer(this.#server)._handle ?? {};
    const client = openHandle(listener, fd);
    this.#accepted = undefined;
    this.#onSocket = onSocket;
    try {
      listener.onconnection?.(0, client);
    } finally {
      this.#onSocket = undefined;
      if (!this.#accepted) client.close();
    }
    if (!this.#accepted) throw new Error('the server dropped the connection');
    return this.#accepted;
  }

  /** To be closed in the tick in which it was made. */
  close(): void {
    this.#server.off('connection', this.#remember);
  }
}

/** A handle of the listener's own class; a cluster worker's listener is none, and there the fd says what it is. */
function openHandle(listener: object, fd: number): StreamHandle {
  const Handle = listener.constructor as (new (type: number) => StreamHandle) | ObjectConstructor;
  if (Handle !== Object) {
    const client = new Handle(0) as StreamHandle;
    const status = client.open(fd) ?? 0;
    if (status === 0) return client;
    client.close();
  }
  const carrier = new Socket({ fd, readable: false, writable: false });
  const handle = handleOf(carrier);
  if (!handle) throw new Error(`fd ${fd} is no stream`);
  Reflect.set(carrier, '_handle', null);
  return handle;
}
