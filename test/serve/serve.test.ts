import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { type ServeOptions, serve } from '../../src/serve.ts';
import { KeepAlive } from '../fixtures/keep-alive.ts';
import { freePort, Supervised } from '../fixtures/supervised.ts';

const PROGRAM = fileURLToPath(new URL('../fixtures/programs/serving.mjs', import.meta.url));

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function connect(port: number): Promise<KeepAlive> {
  const client = await KeepAlive.open(port);
  cleanups.push(() => client.destroy());
  return client;
}

const hello = () => createServer((_, response) => response.end('hello'));

describe('in a program that runs alone', () => {
  test('a stop signal lets what is in flight finish, and then ends the process', async () => {
    const port = await freePort();
    const child = spawn(process.execPath, [PROGRAM], {
      env: { ...process.env, PORT: String(port), RELISTEN_GENERATION: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    cleanups.push(() => child.kill('SIGKILL'));
    const lines: string[] = [];
    const output = createInterface({ input: child.stdout });
    output.on('line', line => lines.push(line));
    await once(output, 'line');
    const client = await connect(port);
    const slow = client.request('/slow');
    await once(output, 'line');
    child.kill('SIGTERM');
    const exited = once(child, 'exit');
    expect(await slow).toBe('0 GET /slow');
    expect(await exited).toEqual([null, 'SIGTERM']);
    expect(lines).toEqual(['ready', 'asked', 'draining SIGTERM', 'closed 0']);
  });
});

describe('under relisten run', () => {
  test('idle connections go on, and it says itself that it is ready', async () => {
    const port = await freePort();
    const supervised = new Supervised(['node', PROGRAM, 'http'], {
      env: { PORT: String(port) },
      supervise: { ready: { notify: true } },
    });
    cleanups.push(() => supervised.stop());
    await supervised.ready();
    const client = await connect(port);
    expect(await client.request('/1')).toBe('1 GET /1');
    await supervised.restart();
    expect(await supervised.exited(1)).toEqual({ code: null, signal: 'SIGTERM' });
    expect(await client.request('/2')).toBe('2 GET /2');
  });

  test('raw TCP connections go on with what was saved, and are not greeted again', async () => {
    const port = await freePort();
    const supervised = new Supervised(['node', PROGRAM, 'tcp'], { env: { PORT: String(port) } });
    cleanups.push(() => supervised.stop());
    await supervised.ready();
    const client = net.connect(port, '127.0.0.1');
    cleanups.push(() => client.destroy());
    const lines = createInterface({ input: client })[Symbol.asyncIterator]();
    const line = async () => (await lines.next()).value;
    expect(await line()).toBe('hello');
    for (let generation = 1; generation <= 3; generation++) {
      client.write('x\n');
      expect(await line()).toBe(`${generation} ${generation}`);
      await supervised.restart();
      await supervised.exited(generation);
    }
    client.write('x\n');
    expect(await line()).toBe('4 4');
  });
});

describe('serve()', () => {
  const here: ServeOptions = { port: 0, host: '127.0.0.1', signals: [] };

  test('closes with the block that uses it', async () => {
    const server = hello();
    let port = 0;
    {
      await using serving = await serve(server, { ...here, drain: { idleGrace: 10 } });
      if (serving.address.family !== 'unix') port = serving.address.port;
      expect(await (await connect(port)).request('/')).toBe('hello');
    }
    expect(server.listening).toBe(false);
    await expect(connect(port)).rejects.toThrow(/ECONNREFUSED/);
  });

  test('drains when its signal is aborted, and answers the report to everyone who asks', async () => {
    const controller = new AbortController();
    const serving = await serve(hello(), { ...here, signal: controller.signal });
    const reasons: string[] = [];
    serving.events.on('draining', reason => reasons.push(reason));
    controller.abort();
    const report = await serving.closed;
    expect(await serving.close()).toBe(report);
    expect(report.cut).toEqual([]);
    expect(reasons).toEqual(['abort']);
  });

  test('leaves no listener of signals behind that would change how the process ends', async () => {
    const serving = await serve(hello(), here);
    expect(process.listenerCount('SIGTERM')).toBe(0);
    await serving.close();
  });

  test.each<[string, unknown, RegExp]>([
    ['a port that is none', { port: 65536 }, /Invalid port/],
    ['nothing', undefined, /Invalid|expected/],
    ['signals that are none', { port: 0, signals: ['SIGNOPE'] }, /Invalid signals/],
    ['a drain that never ends', { port: 0, drain: { deadline: -1 } }, /Invalid deadline/],
    ['half a handoff', { port: 0, handoff: { save: () => undefined } }, /Invalid handoff/],
  ])('refuses %s, and leaves nothing open', async (_, options, message) => {
    const server = hello();
    await expect(serve(server, options as ServeOptions)).rejects.toThrow(message);
    expect(server.listening).toBe(false);
  });
});
