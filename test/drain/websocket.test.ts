import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { drain } from '../../src/drain/drain.ts';
import { spreadOver } from '../../src/drain/websocket.ts';
import { closeClients, listening, portOf } from './raw-client.ts';

const clients: WebSocket[] = [];

afterEach(() => {
  closeClients();
  for (const client of clients.splice(0)) client.terminate();
});

async function open(server: Server): Promise<WebSocket> {
  const client = new WebSocket(`ws://127.0.0.1:${portOf(server)}`);
  clients.push(client);
  await once(client, 'open');
  return client;
}

async function closed(client: WebSocket): Promise<{ code: number; reason: string; at: number }> {
  const [code, reason] = await once(client, 'close');
  return { code, reason: String(reason), at: performance.now() };
}

async function serve(): Promise<{ server: Server; webSockets: WebSocketServer }> {
  const server = await listening(createServer((_, response) => void response.end('hello')));
  const webSockets = new WebSocketServer({ server });
  webSockets.on('connection', socket => socket.on('message', data => socket.send(data)));
  return { server, webSockets };
}

test.each([
  { count: 0, spread: undefined, left: 30_000, random: 0.5, times: [] },
  { count: 2, spread: 1_000, left: 30_000, random: 0.5, times: [250, 750] },
  { count: 2, spread: undefined, left: 30_000, random: 0, times: [0, 5] },
  { count: 4, spread: 10_000, left: 800, random: 0, times: [0, 100, 200, 300] },
])('$count goodbyes over $spread ms with $left ms left come at $times', ({ count, spread, left, random, times }) => {
  expect(spreadOver(count, spread, left, () => random)).toEqual(times);
});

test('many goodbyes take 5 s unless something else is asked for', () => {
  const times = spreadOver(10_000, undefined, 30_000);
  expect(Math.max(...times)).toBeGreaterThan(4_990);
  expect(Math.max(...times)).toBeLessThanOrEqual(5_000);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
});

test.each(['its HTTP server', 'the WebSocketServer', 'both'])('drained by %s, WebSockets close with 1012', async by => {
  const { server, webSockets } = await serve();
  const client = await open(server);
  const closing = closed(client);
  const targets = { 'its HTTP server': server, 'the WebSocketServer': webSockets, both: [webSockets, server] };
  const report = await drain(targets[by as keyof typeof targets]);
  expect(await closing).toMatchObject({ code: 1012, reason: 'Service Restart' });
  expect(report).toMatchObject({ cut: [], closed: { webSocket: 1 } });
  expect(server.listening).toBe(false);
});

test('a WebSocket works until its goodbye, and what was sent before arrives', async () => {
  const { server } = await serve();
  const client = await open(server);
  const messages: string[] = [];
  client.on('message', data => messages.push(String(data)));
  const closing = closed(client);
  const draining = drain(server, { spread: 600 });
  client.send('one');
  await once(client, 'message');
  client.send('two');
  await closing;
  expect(messages).toEqual(['one', 'two']);
  expect(await draining).toMatchObject({ cut: [] });
});

test('goodbyes are spread over the window', async () => {
  const { server } = await serve();
  const all = await Promise.all(Array.from({ length: 20 }, () => open(server)));
  const closings = all.map(closed);
  const before = performance.now();
  const draining = drain(server, { spread: 1_000 });
  const times = (await Promise.all(closings)).map(({ at }) => at - before);
  // Twenty slices of 50 ms each, and rounds that are 50 ms apart: no tenth of the window has more than five.
  for (let tenth = 0; tenth < 10; tenth++) {
    expect(times.filter(time => time >= tenth * 100 && time < (tenth + 1) * 100).length).toBeLessThanOrEqual(5);
  }
  expect(Math.max(...times)).toBeGreaterThan(800);
  expect(await draining).toMatchObject({ cut: [], closed: { webSocket: 20 } });
});

test('a client that does not answer the close frame is cut at the deadline', async () => {
  const { server } = await serve();
  const client = await open(server);
  client.pause();
  const report = await drain(server, { deadline: 300 });
  expect(report.cut).toMatchObject([{ protocol: 'webSocket' }]);
  expect(report.durationMs).toBeLessThan(10_000);
});

test('a WebSocket that is opened during the drain is said goodbye to as well', async () => {
  const { server } = await serve();
  const keeper = await open(server);
  const opening = open(server);
  const draining = drain(server, { spread: 200 });
  const late = closed(await opening);
  expect((await late).code).toBe(1012);
  await draining;
  expect(keeper.readyState).not.toBe(WebSocket.OPEN);
});
