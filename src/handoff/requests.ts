import { channel } from 'node:diagnostics_channel';
import type { Server, Socket } from 'node:net';

/*
 * How many requests a connection has had, which Node keeps to itself. Only counted where it matters: for
 * `maxRequestsPerSocket`, which must hold across processes.
 */

const counts = new WeakMap<Socket, number>();
let counting = false;

/** Counts the requests of this server's connections, where it limits them. */
export function countRequests(server: Server): void {
  if (counting || !(Number(Reflect.get(server, 'maxRequestsPerSocket')) > 0)) return;
  counting = true;
  channel('http.server.request.start').subscribe(message => {
    const { socket } = message as { socket: Socket };
    counts.set(socket, requestsOn(socket) + 1);
  });
}

export function requestsOn(socket: Socket): number {
  return counts.get(socket) ?? 0;
}

/** Requests that were counted in another process. */
export function addRequests(socket: Socket, requests: number): void {
  if (requests > 0) counts.set(socket, requestsOn(socket) + requests);
}
