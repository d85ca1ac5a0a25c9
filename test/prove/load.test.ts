import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { ClassOptions } from '../../src/prove/classes.ts';
import { type LoadOptions, startLoad } from '../../src/prove/load.ts';
import type { FailureKind, LoadResult } from '../../src/prove/result.ts';
import { ok, onRequests, plant } from './planted-server.ts';

/** Runs a load until so many requests have their outcome. */
async function loadUntil(outcomes: number, options: LoadOptions): Promise<LoadResult> {
  const load = startLoad(options);
  await expect
    .poll(() => load.progress().ok + load.progress().failed, { timeout: 10_000 })
    .toBeGreaterThanOrEqual(outcomes);
  return load.stop();
}

const get: ClassOptions = { kind: 'keep-alive-get', rate: 200, connections: 2 };
const post: ClassOptions = { kind: 'keep-alive-post', rate: 200, connections: 2 };
const fresh: ClassOptions = { kind: 'fresh', rate: 200 };
const websocket: ClassOptions = { kind: 'websocket', rate: 100, connections: 2 };
const tcp: ClassOptions = { kind: 'tcp', rate: 100, connections: 2 };

const all = (answer: string) => (socket: Socket) => onRequests(socket, () => socket.write(answer));

/** A misdeed, who meets it, and the one name that every failure must have. */
const misdeeds: [string, ClassOptions, FailureKind, (socket: Socket) => void][] = [
  ['resets every connection at once', fresh, 'reset', socket => socket.resetAndDestroy()],
  ['resets once the request is there', post, 'reset', socket => onRequests(socket, () => socket.resetAndDestroy())],
  [
    'resets in the middle of the response',
    get,
    'truncated',
    socket =>
      onRequests(socket, () =>
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf', () => socket.resetAndDestroy()),
      ),
  ],
  ['ends without an answer', get, 'eof', socket => onRequests(socket, () => socket.end())],
  ['ends a fresh connection without an answer', fresh, 'eof', socket => onRequests(socket, () => socket.end())],
  ['ends after half a head', get, 'truncated', socket => onRequests(socket, () => socket.end('HTTP/1.1 200 O'))],
  [
    'ends after half a body',
    post,
    'truncated',
    socket => onRequests(socket, () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf')),
  ],
  [
    'ends before the last chunk',
    fresh,
    'truncated',
    socket => onRequests(socket, () => socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n')),
  ],
  ['never answers', get, 'timeout', () => {}],
  ['stalls in the middle of the body', fresh, 'timeout', all('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf')],
  ['answers 503', get, 'wrong-status', all('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n')],
  ['answers with another body', { ...get, expectBody: 'good' }, 'wrong-body', all(ok('evil'))],
  ['echoes another body', { ...post, expectBody: { echo: true } }, 'wrong-body', all(ok('x'.repeat(16_384)))],
  ['answers junk', get, 'malformed', all('SSH-2.0-OpenSSH\r\n')],
  ['answers with one byte too many', get, 'malformed', all(`${ok()}!`)],
  ['answers the handshake with 200', websocket, 'wrong-status', all(ok())],
  ['echoes other bytes', tcp, 'wrong-body', socket => socket.on('data', () => socket.write('?'))],
  ['ends instead of echoing', tcp, 'eof', socket => socket.on('data', () => socket.end())],
  ['echoes half', tcp, 'truncated', socket => socket.on('data', chunk => socket.end(chunk.subarray(0, 5)))],
];

describe('a server that misbehaves is named for what it did', () => {
  test.each(misdeeds)('one that %s', async (_what, one, kind, onConnection) => {
    await using server = await plant(onConnection);
    // Short only for those who wait for it: on a busy machine an answer takes its time.
    const timeoutMs = kind === 'timeout' ? 150 : 10_000;
    const result = await loadUntil(5, { target: server.url, classes: [one], timeoutMs });
    expect(result.failed).toBeGreaterThanOrEqual(5);
    expect(result.failures).toEqual({ [kind]: result.failed });
    expect(result.ok).toBe(0);
    expect(result.due).toBe(result.failed);
    expect(result.lost[0]).toMatchObject({ kind, class: one.kind, phase: 'steady' });
  });

  test.each([fresh, get, post, websocket, tcp])('nobody there at all is refused ($kind)', async one => {
    const server = await plant(() => {});
    await server[Symbol.asyncDispose]();
    const result = await loadUntil(5, { target: server.url, classes: [one] });
    expect(result.failures).toEqual({ refused: result.due });
    expect(result.lost[0]).toMatchObject({ kind: 'refused', stage: 'connect', code: 'ECONNREFUSED' });
  });

  test('a unix path that is not there is refused', async () => {
    const result = await loadUntil(2, { target: './no-such.sock', classes: [get] });
    expect(result.failures).toEqual({ refused: result.due });
  });
});

describe('keep-alive connections that the server closes', () => {
  test('between two requests are counted, and are no failure', async () => {
    // The answer comes first, the end when the client must have seen it, well before its connection's next turn.
    await using server = await plant(socket =>
      onRequests(socket, () => socket.write(ok(), () => setTimeout(() => socket.end(), 15))),
    );
    const one: ClassOptions = { kind: 'keep-alive-get', rate: 50, connections: 20 };
    const result = await loadUntil(25, { target: server.url, classes: [one] });
    expect(result.failed).toBe(0);
    expect(result.classes[0]?.closedWhileIdle).toBeGreaterThanOrEqual(20);
    expect(result.classes[0]?.closedAnnounced).toBe(0);
    expect(result.classes[0]?.opened).toBe(result.ok);
  });

  test('as Connection: close announced are counted apart', async () => {
    await using server = await plant(socket => onRequests(socket, () => socket.end(ok('ok', 'Connection: close\r\n'))));
    const result = await loadUntil(20, { target: server.url, classes: [post] });
    expect(result.failed).toBe(0);
    expect(result.classes[0]).toMatchObject({ closedWhileIdle: 0, closedAnnounced: result.ok, opened: result.ok });
  });

  test.each([
    ['ended', 'eof', (socket: Socket) => socket.end()],
    ['reset', 'reset', (socket: Socket) => socket.resetAndDestroy()],
  ] as const)('exactly as the next request is sent are lost requests: %s', async (_how, kind, close) => {
    await using server = await plant(socket =>
      // Not read any further, so the second request finds the close coming towards it.
      onRequests(socket, index => (index === 0 ? socket.write(ok()) : close(socket))),
    );
    const result = await loadUntil(40, { target: server.url, classes: [{ ...post, connections: 4 }] });
    const [one] = result.classes;
    expect(one?.failed).toBeGreaterThan(10);
    expect(one?.failures).toEqual({ [kind]: one?.failed });
    expect(result.lost.every(failure => failure.reused && failure.stage === 'request')).toBe(true);
    expect(one?.closedWhileIdle).toBe(0);
  });

  test('closed with their request unread are lost requests', async () => {
    // close(2) with unread input answers with RST (RFC 9293 section 3.10.4).
    await using server = await plant(socket => void setTimeout(() => socket.destroy(), 10), { pauseOnConnect: true });
    const result = await loadUntil(10, { target: server.url, classes: [post] });
    expect(result.failures).toEqual({ reset: result.due });
  });

  test('at any moment around the next request are either idle or lost, and never a mystery', async () => {
    // One connection; the server ends it 0 to 20 ms after each answer, the client sends about every 10 ms.
    let round = 0;
    await using server = await plant(socket =>
      onRequests(socket, () => {
        socket.write(ok());
        round += 1;
        setTimeout(() => (round % 2 ? socket.end() : socket.destroy()), (round * 7) % 21);
      }),
    );
    const result = await loadUntil(200, { target: server.url, classes: [{ ...post, rate: 100, connections: 1 }] });
    const [one] = result.classes;
    const { eof = 0, reset = 0, ...other } = result.failures;
    expect(other).toEqual({});
    expect(eof + reset).toBeGreaterThan(0);
    expect(one?.closedWhileIdle).toBeGreaterThan(10);
    expect(result.ok + eof + reset).toBe(result.due);
    // Every connection but the last was closed by the server, in one way or the other.
    expect((one?.opened ?? 0) - (one?.closedWhileIdle ?? 0) - eof - reset).toBeLessThanOrEqual(1);
  });

  test('with a last word that nobody asked for are not used again', async () => {
    await using server = await plant(socket =>
      onRequests(socket, () =>
        socket.write(ok(), () => setTimeout(() => socket.write('HTTP/1.1 408 Request Timeout\r\n\r\n'), 15)),
      ),
    );
    const result = await loadUntil(25, { target: server.url, classes: [{ ...get, rate: 50, connections: 20 }] });
    expect(result.failed).toBe(0);
    expect(result.classes[0]?.unsolicited).toBeGreaterThanOrEqual(20);
  });
});

describe('latency', () => {
  test('counts from when the request was due, also while it waited for a free connection', async () => {
    // One connection, 50 arrivals a second, and a server that holds the first answer back for 400 ms.
    let first = true;
    await using server = await plant(socket =>
      onRequests(socket, () => {
        if (!first) socket.write(ok());
        else setTimeout(() => socket.write(ok()), 400);
        first = false;
      }),
    );
    const one = { ...get, rate: 50, connections: 1 };
    const result = await loadUntil(30, { target: server.url, classes: [one] });
    const latencies = result.classes[0]?.latency;
    expect(result.failed).toBe(0);
    // About 20 of 30 were due during those 400 ms; a closed loop would have sent one, and seen a p50 under a millisecond.
    expect(latencies?.p50).toBeGreaterThan(60);
    expect(latencies?.max).toBeGreaterThanOrEqual(395);
    expect(result.gap.ms).toBeGreaterThan(380);
  });

  test('counts the wait for a connection against the deadline too', async () => {
    await using server = await plant(() => {});
    const result = await loadUntil(20, { target: server.url, classes: [{ ...get, connections: 1 }], timeoutMs: 100 });
    expect(result.failures).toEqual({ timeout: result.due });
    const patience = result.lost.map(({ due, at }) => at - due);
    expect(Math.min(...patience)).toBeGreaterThanOrEqual(100);
    expect(Math.min(...patience)).toBeLessThan(200);
    expect(new Set(result.lost.map(({ stage }) => stage))).toEqual(new Set(['request', 'queued']));
  });
});

describe('a load', () => {
  test('tells what happened during a restart from what came before and after', async () => {
    let down = false;
    await using server = await plant(socket =>
      onRequests(socket, () => (down ? socket.resetAndDestroy() : socket.write(ok()))),
    );
    const load = startLoad({ target: server.url, classes: [fresh] });
    const more = async (outcome: 'ok' | 'failed') => {
      const before = load.progress()[outcome];
      await expect.poll(() => load.progress()[outcome], { interval: 5 }).toBeGreaterThanOrEqual(before + 10);
    };
    await more('ok');
    load.phase('restart');
    down = true;
    await more('failed');
    load.phase('after');
    down = false;
    // What was in flight when the restart ended belongs to it; the one after all of that does not.
    const { due, failed } = load.progress();
    await expect.poll(() => load.progress().ok + failed).toBeGreaterThan(due + 5);
    const result = await load.stop();
    const { phases } = result.classes[0] ?? {};
    expect(phases?.steady).toMatchObject({ failed: 0 });
    expect(phases?.steady.ok).toBeGreaterThanOrEqual(10);
    expect(phases?.restart.failures).toEqual({ reset: result.failed });
    expect(phases?.after.failed).toBe(0);
    expect(phases?.after.ok).toBeGreaterThan(0);
  });

  test('counts a request to the restart that it lived to see', async () => {
    const waiting: Socket[] = [];
    await using server = await plant(socket => onRequests(socket, () => waiting.push(socket)));
    const load = startLoad({ target: server.url, classes: [{ ...fresh, rate: 100 }] });
    await expect.poll(() => waiting.length).toBeGreaterThan(3);
    load.phase('restart');
    load.phase('after');
    for (const socket of waiting.splice(0)) socket.resetAndDestroy();
    await expect.poll(() => load.progress().failed, { interval: 5 }).toBeGreaterThan(3);
    const stopped = load.stop();
    for (const socket of waiting) socket.resetAndDestroy();
    server.server.on('connection', socket => socket.destroy());
    const { phases } = (await stopped).classes[0] ?? {};
    expect(phases?.steady.failed).toBe(0);
    expect(phases?.restart.failed).toBeGreaterThan(3);
  });

  test('names the versions that answered, in order, with their first and last answers', async () => {
    let generation = 1;
    await using server = await plant(socket =>
      onRequests(socket, () => socket.write(ok('ok', `X-Generation: ${generation}\r\n`))),
    );
    const load = startLoad({ target: server.url, classes: [get] });
    await expect.poll(() => load.progress().ok).toBeGreaterThan(5);
    generation = 2;
    await expect.poll(() => load.progress().generations).toEqual(['1', '2']);
    const { generations } = await load.stop();
    expect(generations.map(one => one.generation)).toEqual(['1', '2']);
    expect(generations[1]?.firstAnswer).toBeGreaterThanOrEqual(generations[0]?.lastAnswer ?? Infinity);
  });

  test('reads the version from the body where a pattern says how', async () => {
    await using server = await plant(all(ok('{"version":"1.2"}')));
    const generation = { body: /"version":"(.*?)"/ };
    const result = await loadUntil(3, { target: server.url, classes: [get], generation });
    expect(result.generations[0]).toMatchObject({ generation: '1.2', answers: result.ok });
  });

  test('that is aborted ends at once, and what was in flight is no failure', async () => {
    await using server = await plant(socket => socket.resume());
    const abort = new AbortController();
    const load = startLoad({ target: server.url, classes: [fresh], signal: abort.signal });
    await expect.poll(() => load.progress().due).toBeGreaterThan(3);
    abort.abort();
    const result = await load.stop();
    expect(result.failed).toBe(0);
    expect(result.classes[0]?.abandoned).toBe(result.due);
    await expect.poll(() => server.sockets.size).toBe(0);
  });

  test('is plain JSON', async () => {
    await using server = await plant(all(ok()));
    const result = await loadUntil(3, { target: server.url, classes: [get] });
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
  });

  test.each([
    [{ target: 'https://127.0.0.1:1', classes: [get] }, /Invalid target/],
    [{ target: 3000, classes: [] }, /Invalid classes/],
    [{ target: 3000, classes: [get, get] }, /different name/],
    [{ target: 3000, classes: [{ ...get, rate: Number.NaN }] }, /Invalid rate of keep-alive-get: NaN/],
    [{ target: 3000, classes: [{ ...get, connections: 0 }] }, /Invalid connections/],
    [{ target: 3000, classes: [{ ...get, path: '/a b' }] }, /Invalid path/],
    [{ target: 3000, classes: [{ ...get, headers: { a: 'b\r\nc: d' } }] }, /Invalid header/],
    [{ target: 3000, classes: [get], timeoutMs: 0 }, /Invalid timeoutMs/],
  ])('refuses %j', (options, message) => {
    expect(() => startLoad(options)).toThrow(message);
  });
});

test('an echo server that echoes, in pieces too, shows no failure', async () => {
  await using server = await plant(socket =>
    socket.on('data', chunk => {
      socket.write(chunk.subarray(0, 7));
      setImmediate(() => socket.write(chunk.subarray(7)));
    }),
  );
  const result = await loadUntil(30, { target: server.url, classes: [tcp] });
  expect(result.lost).toEqual([]);
  expect(result.classes[0]).toMatchObject({ ok: result.due, opened: 2, closedWhileIdle: 0 });
});

test('a perfect server shows no failure in ten minutes of arrivals at 15 requests/s, a hundred times as fast', async () => {
  const server = createHttpServer((request, response) => {
    request.resume().on('end', () => response.setHeader('x-generation', '1').end('hello'));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const load = startLoad({
    target: port,
    classes: [
      { kind: 'fresh', rate: 150 },
      { kind: 'keep-alive-get', rate: 1050, connections: 50, expectBody: 'hello' },
      { kind: 'keep-alive-post', rate: 300, connections: 20 },
    ],
  });
  await expect.poll(() => load.progress().due, { timeout: 20_000, interval: 100 }).toBeGreaterThanOrEqual(9000);
  const result = await load.stop();
  server.close();
  expect(result.lost).toEqual([]);
  expect(result.ok).toBe(result.due);
  expect(result.closedWhileIdle).toBe(0);
  expect(result.classes[1]?.opened).toBe(50);
}, 30_000);
