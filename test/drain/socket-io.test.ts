import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { Server as SocketIo } from 'socket.io';
import { io, type Socket } from 'socket.io-client';
import { afterEach, expect, test } from 'vitest';
import { drain } from '../../src/drain/drain.ts';
import { listening, portOf } from './raw-client.ts';

const clients: Socket[] = [];
const servers: SocketIo[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.disconnect();
  for (const server of servers.splice(0)) {
    server.engine.close();
    server.httpServer.close();
  }
});

async function serve(port = 0): Promise<{ server: Server; sockets: SocketIo }> {
  const server = createServer();
  const sockets = new SocketIo(server);
  servers.push(sockets);
  sockets.on('connection', socket => socket.on('echo', (word, answer) => answer(word)));
  if (port === 0) await listening(server);
  else {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  }
  return { server, sockets };
}

async function connectTo(server: Server, transports: string[]): Promise<Socket> {
  const options = { transports, reconnectionDelay: 10, reconnectionDelayMax: 20, forceNew: true };
  const client = io(`http://127.0.0.1:${portOf(server)}`, options);
  clients.push(client);
  await new Promise(done => client.once('connect', () => done(undefined)));
  return client;
}

test.each(['websocket', 'polling'])(
  'a socket.io client over %s loses its server, and comes back by itself',
  async transport => {
    const { server, sockets } = await serve();
    const port = portOf(server);
    const client = await connectTo(server, [transport]);
    expect(await client.emitWithAck('echo', 'before')).toBe('before');
    const lost = new Promise(done => client.once('disconnect', reason => done(reason)));
    const again = new Promise(done => client.once('connect', () => done(undefined)));
    // A poll that waits has no end of its own: the application knows how to end it.
    const endResponse = () => void sockets.engine.close();
    const report = await drain(sockets, transport === 'polling' ? { endResponse, deadline: 3_000 } : {});
    expect(report.cut).toEqual([]);
    // Not `io server disconnect`: after that a client stays away.
    expect(['transport close', 'transport error']).toContain(await lost);
    await serve(port);
    await again;
    expect(await client.emitWithAck('echo', 'after')).toBe('after');
  },
);
