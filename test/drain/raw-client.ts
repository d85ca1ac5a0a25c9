import { once } from 'node:events';
import { connect, type Server, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** One HTTP/1.1 response as it came. */
export interface RawResponse {
  status: number;
  header: string;
  body: string;
}

/** A client that hides nothing: no retry, no pool; every byte and every end is seen as it comes. */
export class RawClient {
  readonly socket: Socket;
  received = '';
  /** How the connection ended: `FIN`, or an error's code; undefined while it is open. */
  end: string | undefined;
  /** Settles when it has ended, with how. */
  readonly ended: Promise<string>;
  readonly #waiting: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      this.received += chunk;
      this.#wake();
    });
    this.ended = new Promise(done => {
      const finish = (how: string) => {
        this.end ??= how;
        this.#wake();
        done(this.end);
      };
      socket.on('end', () => finish('FIN'));
      socket.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
      socket.on('close', () => finish('closed'));
    });
  }

  send(text: string): this {
    this.socket.write(text, 'latin1');
    return this;
  }

  get(path: string, header = ''): this {
    return this.send(`GET ${path} HTTP/1.1\r\nHost: test\r\n${header}\r\n`);
  }

  /** The next response with a length or in chunks; undefined if the connection ended first. */
  async response(): Promise<RawResponse | undefined> {
    for (;;) {
      const taken = takeResponse(this.received);
      if (taken) {
        this.received = this.received.slice(taken.length);
        return taken.response;
      }
      if (this.end !== undefined) return undefined;
      await this.#change();
    }
  }

  /** Until this text has come. */
  async seen(text: string): Promise<void> {
    while (!this.received.includes(text)) {
      if (this.end !== undefined) throw new Error(`The connection ended (${this.end}) before ${JSON.stringify(text)}`);
      await this.#change();
    }
  }

  #change(): Promise<void> {
    return new Promise(done => this.#waiting.push(done));
  }

  #wake(): void {
    for (const done of this.#waiting.splice(0)) done();
  }
}

interface Taken {
  response: RawResponse;
  length: number;
}

function takeResponse(text: string): Taken | undefined {
  const headerEnd = text.indexOf('\r\n\r\n');
  if (headerEnd === -1) return undefined;
  const header = text.slice(0, headerEnd);
  const status = Number(header.split(' ')[1]);
  const start = headerEnd + 4;
  if (status < 200) return { response: { status, header, body: '' }, length: start };
  const length = /^content-length: (\d+)/im.exec(header)?.[1];
  if (length === undefined) return takeChunks(text, start, { status, header });
  const end = start + Number(length);
  return text.length < end ? undefined : { response: { status, header, body: text.slice(start, end) }, length: end };
}

function takeChunks(text: string, start: number, head: Omit<RawResponse, 'body'>): Taken | undefined {
  let body = '';
  for (let at = start; ; ) {
    const lineEnd = text.indexOf('\r\n', at);
    if (lineEnd === -1) return undefined;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    const end = lineEnd + 2 + size + 2;
    if (text.length < end) return undefined;
    body += text.slice(lineEnd + 2, end - 2);
    if (size === 0) return { response: { ...head, body }, length: end };
    at = end;
  }
}

/** Listens on a port of the kernel's choice. */
export async function listening<T extends Server>(server: T): Promise<T> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

export function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('Not listening on TCP');
  return address.port;
}

const open = new Set<RawClient>();

/** A connected client; the test destroys what is left with {@link closeClients}. */
export async function connectTo(server: Server): Promise<RawClient> {
  const client = new RawClient(connect(portOf(server), '127.0.0.1'));
  open.add(client);
  await once(client.socket, 'connect');
  return client;
}

/** A client connected over TLS. */
export async function connectOverTls(server: Server, ALPNProtocols: string[] = []): Promise<RawClient> {
  const options = { port: portOf(server), host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols };
  const client = new RawClient(connectTls(options));
  open.add(client);
  await once(client.socket, 'secureConnect');
  return client;
}

export function closeClients(): void {
  for (const client of open) client.socket.destroy();
  open.clear();
}

/** A promise with its resolver beside it (Promise.withResolvers is not in Node 20). */
export function promised<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>(done => {
    resolve = done;
  });
  return { promise, resolve };
}

/** Lets the event loop go round, so that what was sent before is read. */
export function turn(): Promise<void> {
  return new Promise(done => setImmediate(() => setImmediate(done)));
}
