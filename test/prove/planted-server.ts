import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type ServerOpts, type Socket } from 'node:net';

/** A server made to misbehave: what it does with each connection is the test's. */
export interface PlantedServer extends AsyncDisposable {
  url: string;
  port: number;
  server: Server;
  sockets: Set<Socket>;
}

/** Plants a raw server on a port of the kernel's choice; it is gone, with its connections, when disposed of. */
export async function plant(onConnection: (socket: Socket) => void, options: ServerOpts = {}): Promise<PlantedServer> {
  const sockets = new Set<Socket>();
  const server = createServer(options, socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    onConnection(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    server,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      if (!server.listening) return;
      server.close();
      await once(server, 'close');
    },
  };
}

/** Calls back for every whole request of a connection: its number, and how many bytes its body had. */
export function onRequests(socket: Socket, answer: (index: number, bodyBytes: number) => void): void {
  let pending = Buffer.alloc(0);
  let index = 0;
  socket.on('data', chunk => {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      const end = pending.indexOf('\r\n\r\n');
      if (end === -1) return;
      const length = Number(/^content-length: (\d+)/im.exec(pending.toString('latin1', 0, end))?.[1] ?? 0);
      if (pending.length < end + 4 + length) return;
      pending = pending.subarray(end + 4 + length);
      answer(index++, length);
    }
  });
}

/** A small good response. */
export function ok(body = 'ok', fields = ''): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${fields}\r\n${body}`;
}
