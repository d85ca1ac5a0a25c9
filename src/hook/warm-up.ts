import { once } from 'node:events';
import { Agent, type RequestOptions, request, type Server } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { isTlsServer } from '../drain/track.ts';
import { setServed } from './served.ts';

/** How often each path is asked. */
const REQUESTS = 200;
/** On so many connections at once. */
const CONNECTIONS = 4;
/** One of so many requests comes on a connection of its own. */
const FRESH = 4;
/** No longer than that, however long an answer takes. */
const MOST_MS = 3_000;

/**
 * Has a server that does not listen yet answer requests of its own: what V8 and the program do for the first time, clients
 * would wait for. They come over TCP, from this process, to a port that nobody else knows.
 *
 * @param asked each `METHOD path`, or a path alone, which is a GET
 * @returns what was not answered, or with 400 and above
 */
export async function warmUp(server: Server, asked: readonly string[]): Promise<string[]> {
  const sockets = new Set<Socket>();
  const entrance = createServer(socket => {
    sockets.add(socket);
    server.emit('connection', socket);
  });
  setServed(entrance);
  await once(entrance.listen(0, '127.0.0.1'), 'listening');
  const { port } = entrance.address() as AddressInfo;
  const signal = AbortSignal.timeout(MOST_MS);
  const target = { port, host: '127.0.0.1', rejectUnauthorized: false, signal };
  const secure = isTlsServer(server);
  const agent = new (secure ? TlsAgent : Agent)({ keepAlive: true, maxSockets: CONNECTIONS });
  const waiting = Array.from({ length: REQUESTS }, (_, index) =>
    asked.map(text => ({ text, options: { ...target, ...parse(text), agent: index % FRESH === 0 ? false : agent } })),
  ).flat();
  const statuses = new Map<string, number>();
  const keepAsking = async () => {
    for (let next = waiting.shift(); next && !signal.aborted; next = waiting.shift()) {
      const status = await statusOf((secure ? tlsRequest : request)(next.options)).catch(() => undefined);
      if (status !== undefined) statuses.set(next.text, status);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, keepAsking));
  agent.destroy();
  for (const socket of sockets) socket.destroy();
  entrance.close();
  return asked.flatMap(text => complaint(text, statuses.get(text)));
}

function parse(text: string): RequestOptions {
  const [, method = 'GET', path] = /^(?:(\S+) )?(.*)$/.exec(text) ?? [];
  return { method, path, headers: { 'user-agent': 'relisten-warm-up' } };
}

async function statusOf(asking: ReturnType<typeof request>): Promise<number> {
  asking.end();
  const [response] = await once(asking, 'response');
  await once(response.resume(), 'end');
  return response.statusCode;
}

function complaint(text: string, status: number | undefined): string[] {
  if (status === undefined) return [`${text} is not answered`];
  return status < 400 ? [] : [`${text} is answered with ${status}`];
}
