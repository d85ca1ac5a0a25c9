import type { Server, Socket } from 'node:net';
import { idleHttp1Sockets } from '../kernel/handle.ts';
import { noteOn, notesOf } from '../kernel/socket-notes.ts';

/** Whether the HTTP server itself calls a connection idle. */
export type Idle = (socket: Socket) => boolean;

/**
 * Which connections the HTTP servers themselves call idle. Their list is long and always whole, so it is asked for once a
 * round at most, and not at all for a connection that was on it and of which nothing has been read since: the list is of
 * those whose parser has no byte of a next request, and a parser gets none that the socket has not read.
 */
export class IdleList {
  /** For one round, in which nothing is read. */
  look(): (server: Server) => Idle {
    const asked = new Map<Server, ReadonlySet<Socket>>();
    const ask = (server: Server) => {
      const idle = idleHttp1Sockets(server);
      asked.set(server, idle);
      for (const socket of idle) noteOn(socket).readWhenIdle = socket.bytesRead;
      return idle;
    };
    return server => socket => isAsBefore(socket) || (asked.get(server) ?? ask(server)).has(socket);
  }
}

/** What is no net.Socket does not tell how much it has read. */
function isAsBefore(socket: Socket): boolean {
  const before = notesOf(socket)?.readWhenIdle;
  return before !== undefined && before === socket.bytesRead;
}
