import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SlowHandoff } from '../../src/drain/slow-handoff.ts';
import { KeepAlive } from '../fixtures/keep-alive.ts';

let held: ServerResponse | undefined;
let server: Server;
const clients: KeepAlive[] = [];

beforeEach(async () => {
  held = undefined;
  server = createServer((request, response) => {
    if (request.url === '/hold') held = response;
    else response.end('ok');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
});

function portOf(): number {
  return (server.address() as AddressInfo).port;
}

/** Clients whose connections are between two requests. */
async function idleClients(count: number): Promise<KeepAlive[]> {
  const opened = await Promise.all(Array.from({ length: count }, () => KeepAlive.open(portOf())));
  clients.push(...opened);
  for (const client of opened) await client.request('/');
  return opened;
}

/** Hands off what it is told to; everything that is offered is in order of time. */
function handingOff(ms: number, takes: (socket: Socket) => boolean | Promise<boolean>) {
  const offers: { port: number | undefined; at: number }[] = [];
  const begun = performance.now();
  const handOff = new SlowHandoff(
    [server],
    socket => {
      offers.push({ port: socket.remotePort, at: performance.now() - begun });
      return takes(socket);
    },
    ms,
  );
  const offered = async (count: number) => {
    while (offers.length < count) await delay(5);
  };
  return { handOff, offers, offered };
}

test('connections are offered over the time given, each once', async () => {
  const opened = await idleClients(8);
  const ports = opened.map(({ socket }) => socket.localPort);
  const { handOff, offers, offered } = handingOff(800, () => true);
  await offered(8);
  await handOff.stop();
  expect(offers.map(({ port }) => port).sort()).toEqual(ports.sort());
  expect(new Set(offers.map(({ at }) => Math.round(at / 40))).size).toBeGreaterThan(3);
  expect(offers[0]?.at).toBeGreaterThan(50);
  expect(offers.at(-1)?.at).toBeGreaterThan(600);
});

test('who never asked, and who is being answered, is not offered before that is over', async () => {
  const silent = connect(portOf(), '127.0.0.1');
  await once(silent, 'connect');
  const silentPort = silent.localPort;
  const [busy] = await idleClients(1);
  const answered = busy?.request('/hold');
  while (!held) await delay(5);
  const { handOff, offers, offered } = handingOff(0, () => true);
  await idleClients(1);
  await offered(1);
  const busyPort = busy?.socket.localPort;
  expect(offers.map(({ port }) => port)).not.toContain(busyPort);
  held.end('late');
  expect(await answered).toBe('late');
  await offered(2);
  expect(offers[1]?.port).toBe(busyPort);
  expect(offers.map(({ port }) => port)).not.toContain(silentPort);
  await handOff.stop();
  silent.destroy();
});

test('who is not taken is served on, and asked no second time', async () => {
  const [refused, later] = await idleClients(2);
  const { handOff, offers, offered } = handingOff(0, () => false);
  await offered(2);
  expect(await refused?.request('/')).toBe('ok');
  const [third] = await idleClients(1);
  await offered(3);
  await handOff.stop();
  expect(await later?.request('/')).toBe('ok');
  expect(offers.map(({ port }) => port)).toEqual([refused, later, third].map(client => client?.socket.localPort));
});

test('to fail to hand off is to be served on', async () => {
  const [client] = await idleClients(1);
  const { handOff, offered } = handingOff(0, () => {
    throw new Error('on purpose');
  });
  await offered(1);
  await handOff.stop();
  expect(await client?.request('/')).toBe('ok');
});

test('its end waits until it is known who has what was offered', async () => {
  const [client] = await idleClients(1);
  let answer: (taken: boolean) => void = () => undefined;
  const asked = new Promise<boolean>(settle => {
    answer = settle;
  });
  const { handOff, offers, offered } = handingOff(0, () => asked);
  await offered(1);
  let ended = false;
  const end = handOff.stop().then(() => {
    ended = true;
  });
  // Two steps of another one, in which it must neither end nor offer.
  const other = handingOff(0, () => false);
  for (const offers of [1, 2]) {
    await idleClients(1);
    await other.offered(offers);
  }
  await other.handOff.stop();
  expect(ended).toBe(false);
  answer(true);
  await end;
  await once(client?.socket ?? server, 'close'); // nobody else has a copy here
  expect(offers).toHaveLength(1);
});
