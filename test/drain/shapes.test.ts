import { execFile } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, expect, test, vi } from 'vitest';
import { drain } from '../../src/drain/drain.ts';
import { settleShapes } from '../../src/drain/shapes.ts';
import { closeClients, connectTo, listening } from './raw-client.ts';

const FIXTURE = fileURLToPath(new URL('../fixtures/shapes.js', import.meta.url));

afterEach(() => {
  vi.restoreAllMocks();
  closeClients();
});

async function shapes(how: string): Promise<{ changed: string[]; slow: string[]; responses: number }> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--allow-natives-syntax', FIXTURE, how]);
  return JSON.parse(stdout);
}

test('a drain gives nothing of a server that was tracked another shape', async () => {
  expect(await shapes('tracked')).toEqual({ changed: [], slow: [], responses: 20 });
});

test('one that was not tracked gets what the drain needs from it', async () => {
  expect(await shapes('untracked')).toEqual({ changed: ['server', 'idle', 'closing'], slow: [], responses: 0 });
});

const QUICK = { idleGrace: 60, silentGrace: 0, clientFirst: 0, linger: 10 };
const hello = () => createServer((_, response) => void response.end('hello'));

async function answer(server: Server): Promise<string | undefined> {
  const client = await connectTo(server);
  return (await client.get('/').response())?.body;
}

test('methods that a program replaced stay its own, and so do those that it replaces later', async () => {
  const server = await listening(hello());
  const before = vi.spyOn(server, 'closeIdleConnections');
  const replaced = server.closeIdleConnections;
  settleShapes(server);
  expect(server.closeIdleConnections).toBe(replaced);
  const later = vi.spyOn(server, 'emit');
  expect(await answer(server)).toBe('hello');
  expect(later).toHaveBeenCalledWith('request', expect.anything(), expect.anything());
  server.closeIdleConnections();
  expect(before).toHaveBeenCalledOnce();
  await drain(server, QUICK);
});

// A list of timers is kept under its milliseconds: V8 takes a whole number for an index, and a fraction for a name.
test('a drain waits for whole milliseconds', async () => {
  const timers = vi.spyOn(globalThis, 'setTimeout');
  const server = await listening(hello());
  await answer(server);
  await drain(server, { ...QUICK, deadline: 4_000 });
  const times = timers.mock.calls.map(([, ms]) => ms ?? 0);
  expect(times.length).toBeGreaterThan(2);
  expect(times.filter(ms => !Number.isInteger(ms))).toEqual([]);
});

test('only the first hundred responses are prepared, also where another calls its listener', async () => {
  let prepared = 0;
  const server = await listening(
    createServer((_, response) => {
      prepared += Number(Object.hasOwn(response, 'writeHead'));
      response.end('hello');
    }),
  );
  settleShapes(server);
  // As engine.io does when it is attached.
  const taken = server.listeners('request');
  server.removeAllListeners('request');
  server.on('request', (...args) => {
    for (const listener of taken) Reflect.apply(listener, server, args);
  });
  const client = await connectTo(server);
  for (let request = 0; request < 200; request++) await client.get('/').response();
  expect(prepared).toBe(20);
  await drain(server, QUICK);
});
