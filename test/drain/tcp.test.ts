import { connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTls } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import { drain, track } from '../../src/drain/drain.ts';
import { decideTcp } from '../../src/drain/tcp.ts';
import { CERTIFICATE } from './certificate.ts';
import { closeClients, connectOverTls, connectTo, listening, promised, RawClient } from './raw-client.ts';

afterEach(closeClients);

const echo = (socket: Socket) => void socket.on('error', () => undefined).on('data', chunk => socket.write(chunk));
const QUICK = { silentGrace: 100, linger: 200 };
const facts = { use: 'busy', now: 1_000, since: 950, offerable: false } as const;

test.each([
  ['wanted elsewhere', { offerable: true }, { act: 'offer' }],
  ['silent and young', { use: 'silent' }, { act: 'wait', until: 1_050, holds: true }],
  ['silent and old', { use: 'silent', since: 0 }, { act: 'leave', holds: true }],
  ['in use', {}, { act: 'leave', holds: true }],
] as const)('a raw connection that is %s is decided on by the table', (_, given, decision) => {
  expect(decideTcp({ ...facts, ...given }, { silentGrace: 100 })).toEqual(decision);
});

const KINDS = ['TCP', 'TLS'] as const;

async function serve(kind: (typeof KINDS)[number], onSocket: (socket: Socket) => void): Promise<Server> {
  return listening(kind === 'TCP' ? createServer(onSocket) : createTls(CERTIFICATE, onSocket));
}

function connected(kind: (typeof KINDS)[number], server: Server): Promise<RawClient> {
  return kind === 'TCP' ? connectTo(server) : connectOverTls(server);
}

test.each(KINDS)(
  '%s: the application says goodbye, then the connection is half-closed and read to the end',
  async kind => {
    const heard: string[] = [];
    const accepted = promised<Socket>();
    const server = await serve(kind, socket => {
      accepted.resolve(socket);
      echo(socket);
      socket.on('data', chunk => heard.push(String(chunk)));
    });
    const client = await connected(kind, server);
    client.socket.allowHalfOpen = true;
    await client.send('hello').seen('hello');
    const socket = await accepted.promise;
    const drained: Socket[] = [];
    const draining = drain(server, {
      ...QUICK,
      linger: 2_000,
      onDrain: async given => {
        drained.push(given);
        await new Promise(done => given.write(' bye', done));
      },
    });
    expect(await client.ended).toBe('FIN');
    expect(client.received).toBe('hello bye');
    expect(drained).toEqual([socket]);
    // An echo of this has nowhere to go, which must be no error of the application's.
    client.socket.end(' last words');
    expect(await draining).toMatchObject({ cut: [], closed: { tcp: 1, overTls: kind === 'TLS' ? 1 : 0 } });
    expect(heard.join('')).toBe('hello last words');
  },
);

test.each(KINDS)('%s: connections from before anybody tracked are found, from after too', async kind => {
  const server = await serve(kind, echo);
  const before = await connected(kind, server);
  await before.send('1').seen('1');
  track(server);
  const after = await connected(kind, server);
  await after.send('2').seen('2');
  const report = await drain(server, QUICK);
  expect([await before.ended, await after.ended]).toEqual(['FIN', 'FIN']);
  expect(report).toMatchObject({ cut: [], closed: { tcp: 2, overTls: kind === 'TLS' ? 2 : 0 } });
});

test('a connection that has just been accepted gets its answer first', async () => {
  const server = await serve('TCP', echo);
  const opening = connectTo(server);
  const draining = drain(server, { ...QUICK, silentGrace: 5_000 });
  const client = await opening;
  await client.send('hello').seen('hello');
  expect(await client.ended).toBe('FIN');
  expect(await draining).toMatchObject({ cut: [] });
});

test('a peer that goes on sending is read, not reset, until the deadline', async () => {
  const server = await serve('TCP', socket => void socket.resume());
  const client = await connectTo(server);
  client.socket.allowHalfOpen = true;
  const sending = setInterval(() => client.send('x'), 20);
  await new Promise(done => client.socket.write('x', done));
  const report = await drain(server, { ...QUICK, deadline: 800 });
  clearInterval(sending);
  expect(report.cut).toMatchObject([{ protocol: 'tcp', doing: 'half-closed, peer still open' }]);
  expect(report.durationMs).toBeGreaterThanOrEqual(790);
});

test('an onDrain that throws is told of, and the connection is closed all the same', async () => {
  const warning = new Promise<Error>(done => process.once('warning', done));
  const server = await serve('TCP', echo);
  const client = await connectTo(server);
  await client.send('x').seen('x');
  const onDrain = () => {
    throw new Error('no idea');
  };
  expect(await drain(server, { ...QUICK, onDrain })).toMatchObject({ cut: [], closed: { tcp: 1 } });
  expect((await warning).message).toBe('no idea');
});

test('a TLS client that never shakes hands does not hold the drain up', async () => {
  const server = await serve('TLS', echo);
  const silent = await connectTo(server);
  const report = await drain(server, QUICK);
  await silent.ended;
  expect(report).toMatchObject({ cut: [] });
  expect(report.durationMs).toBeLessThan(1_000);
});

test('unix sockets are drained too', async () => {
  const path = `${process.env.TMPDIR}/drain.sock`;
  const server = createServer(echo).listen(path);
  await new Promise(done => server.once('listening', done));
  const client = new RawClient(connect(path));
  await client.send('x').seen('x');
  expect(await drain(server, QUICK)).toMatchObject({ cut: [], closed: { tcp: 1 }, timeWait: 0 });
  expect(await client.ended).toBe('FIN');
});
