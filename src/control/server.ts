import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { RelistenError } from '../errors.ts';
import { codeOf } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import { descriptorOf } from '../kernel/handle.ts';
import { bind, listen, peerCredentials, socket } from '../kernel/socket.ts';
import { fileAt, isSameFile } from '../kernel/stat.ts';
import { giveToServer } from '../listen/give-to-server.ts';
import type { SuperviseEvent } from '../supervise/events.ts';
import type { EndStatus, Supervisor } from '../supervise/supervisor.ts';
import { Counts } from './counts.ts';
import { Metrics } from './metrics.ts';
import { type Status, type StatusFacts, statusOf } from './status.ts';

type Answer = (response: ServerResponse, url: URL) => void | Promise<void>;

const ENDPOINTS = ['GET /status', 'POST /restart', 'POST /stop', 'GET /events', 'GET /metrics'];

/**
 * Control of a supervisor: HTTP over a unix socket, for its user and root.
 *
 * | request       | answer                                                                                       |
 * |---------------|----------------------------------------------------------------------------------------------|
 * | GET /status   | 200, a Status                                                                                |
 * | POST /restart | when the restart is over, a RestartOutcome: 200 ready, 502 failed; 409 while stopping        |
 * | POST /stop    | when all is over, 200 and an EndStatus; `?now` kills what still drains                       |
 * | GET /events   | server-sent events (HTML, section 9.2): a SuperviseEvent each, named by its type; then `end` |
 * | GET /metrics  | the text format of Prometheus                                                                |
 */
export class ControlServer {
  readonly #supervisor: Supervisor;
  readonly #facts: StatusFacts;
  /** Those that are open: one that listens, and others that have listened before and still answer. */
  readonly #servers = new Set<Server>();
  /** The socket's file. */
  #file: ReturnType<typeof fileAt>;
  readonly #counts: Counts;
  readonly #followers = new Set<ServerResponse>();
  readonly #stopping = new Set<ServerResponse>();
  readonly #restarting = new Set<ServerResponse>();
  readonly #onEvent = (event: SuperviseEvent) => this.#tell(event.type, event);
  /** Made when it is first asked for. */
  #metrics: Metrics | undefined;

  constructor(supervisor: Supervisor, facts: StatusFacts) {
    this.#supervisor = supervisor;
    this.#facts = facts;
    this.#counts = new Counts(supervisor);
    supervisor.on('event', this.#onEvent);
  }

  /**
   * Listens on a unix socket, and no more where it did before; the file is the caller's to unlink. Does nothing where it
   * listens there already, and can be reached.
   *
   * @param path what is there is a dead supervisor's, see claimName
   * @returns whether it did not listen there
   * @throws the error of bind(2)
   */
  async listen(path: string): Promise<boolean> {
    if (this.#file && isSameFile(path, this.#file)) return false;
    const before = [...this.#servers];
    rmSync(path, { force: true });
    const fd = listenForUser(path);
    this.#file = fileAt(path);
    const server = createServer((request, response) => void this.#answer(request, response));
    server.on('connection', refuseStrangers);
    server.on('close', () => this.#servers.delete(server));
    this.#servers.add(server);
    // Not by the path: Node would unlink it when it closes the server, whoever has it by then.
    await giveToServer(server, fd, BACKLOG);
    for (const other of before) other.close();
    return true;
  }

  /** Tells those who wait how the supervisor ended, and closes. */
  async close(end: EndStatus): Promise<void> {
    this.#supervisor.off('event', this.#onEvent);
    this.#tell('end', end);
    const deadline = setTimeout(() => {
      for (const server of this.#servers) server.closeAllConnections();
    }, CLOSE_MS);
    const told = [...this.#followers, ...this.#stopping, ...this.#restarting].map(response => once(response, 'close'));
    for (const response of this.#followers) response.end();
    for (const response of this.#stopping) send(response, 200, end);
    for (const response of this.#restarting)
      sendError(
        response,
        409,
        new RelistenError('Cannot restart: relisten has ended', { code: 'ERR_STOPPING', op: 'restart' }),
      );
    await Promise.all(told); // before close(2), which cuts them
    await Promise.all([...this.#servers].map(server => new Promise(fulfil => server.on('close', fulfil).close())));
    clearTimeout(deadline);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://relisten');
    const routes: Record<string, Answer> = {
      'GET /status': () => send(response, 200, this.#status()),
      'POST /restart': () => this.#restart(response),
      'POST /stop': () => this.#stop(response, url.searchParams.has('now')),
      'GET /events': () => this.#follow(response),
      'GET /metrics': () => this.#measure(response),
    };
    request.resume();
    try {
      const route = routes[`${request.method} ${url.pathname}`];
      if (route) await route(response, url);
      else sendUnknown(request, response, url.pathname);
    } catch (error) {
      sendError(response, codeOf(error) === 'ERR_STOPPING' ? 409 : 500, error);
    }
  }

  #status(): Status {
    return statusOf(this.#supervisor, this.#facts);
  }

  async #restart(response: ServerResponse): Promise<void> {
    this.#restarting.add(response);
    response.on('close', () => this.#restarting.delete(response));
    const outcome = await this.#supervisor.restart();
    send(response, outcome.ok ? 200 : 502, outcome);
  }

  #stop(response: ServerResponse, now: boolean): void {
    this.#stopping.add(response);
    response.on('close', () => this.#stopping.delete(response));
    if (!this.#supervisor.stopping) void this.#supervisor.stop();
    if (now) void this.#supervisor.stop();
  }

  #follow(response: ServerResponse): void {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    response.flushHeaders();
    this.#followers.add(response);
    response.on('close', () => this.#followers.delete(response));
  }

  #tell(type: string, data: object): void {
    for (const response of this.#followers) response.write(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  async #measure(response: ServerResponse): Promise<void> {
    this.#metrics ??= new Metrics();
    const text = await this.#metrics.text(this.#status(), this.#counts);
    response.writeHead(200, { 'Content-Type': this.#metrics.contentType, Connection: 'close' });
    response.end(text);
  }
}

/** Of those that Node has by default, net.Server.listen(). */
const BACKLOG = 511;

/** A socket that listens at the path, and that in no moment anybody but its user may connect to. The caller's to close. */
function listenForUser(path: string): number {
  const fd = socket('unix', { nonblocking: true });
  const mask = process.umask(0o177);
  try {
    bind(fd, { family: 'unix', path });
    listen(fd, BACKLOG);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  } finally {
    process.umask(mask);
  }
}

/** How long those who wait may take to read the last answer. */
const CLOSE_MS = 500;

/** The file's mode keeps others out; this holds even where somebody has changed it. */
function refuseStrangers(socket: Socket): void {
  const fd = descriptorOf(socket);
  const uid = fd === undefined ? undefined : peerCredentials(fd).uid;
  if (uid !== 0 && uid !== process.geteuid?.()) socket.destroy();
}

function send(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { 'Content-Type': 'application/json', Connection: 'close' });
  response.end(`${JSON.stringify(body)}\n`);
}

function sendError(response: ServerResponse, status: number, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  send(response, status, { error: { code: codeOf(error), message } });
}

function sendUnknown({ method }: IncomingMessage, response: ServerResponse, path: string): void {
  const allowed = ENDPOINTS.filter(endpoint => endpoint.endsWith(` ${path}`)).map(endpoint => endpoint.split(' ')[0]);
  if (allowed.length > 0) response.setHeader('Allow', allowed.join(', '));
  const message = `No ${method} ${path} here, but ${ENDPOINTS.join(', ')}`;
  send(response, allowed.length > 0 ? 405 : 404, { error: { code: 'ERR_UNKNOWN_REQUEST', message } });
}
