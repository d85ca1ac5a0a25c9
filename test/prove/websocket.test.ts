import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { startLoad } from '../../src/prove/load.ts';
import type { LoadResult } from '../../src/prove/result.ts';
import { decodeFrame, encodeFrame, OPCODE } from '../../src/prove/websocket-frame.ts';
import { plant } from './planted-server.ts';

/** A frame as a server sends it: unmasked. */
function serverFrame(opcode: number, payload: Buffer | string, final = true): Buffer {
  const bytes = Buffer.from(payload);
  return Buffer.concat([Buffer.from([(final ? 0x80 : 0) | opcode, bytes.length]), bytes]);
}

/** A WebSocket server whose answer to each text message is the test's. */
function websocketServer(onMessage: (socket: Socket, text: Buffer) => void) {
  return plant(socket => {
    let pending = Buffer.alloc(0);
    let upgraded = false;
    socket.on('data', chunk => {
      pending = Buffer.concat([pending, chunk]);
      const end = pending.indexOf('\r\n\r\n');
      if (!upgraded && end === -1) return;
      if (!upgraded) {
        upgraded = true;
        socket.write(accepted(pending.toString('latin1', 0, end)));
        pending = pending.subarray(end + 4);
      }
      for (let taken = unmasked(pending); taken; taken = unmasked(pending)) {
        pending = pending.subarray(taken.bytes);
        if (taken.opcode === OPCODE.close) socket.end();
        else if (taken.opcode === OPCODE.text) onMessage(socket, taken.payload);
      }
    });
  });
}

function accepted(head: string): string {
  const key = /^sec-websocket-key: (.*)$/im.exec(head)?.[1]?.trim();
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
}

/** A client's short frame, or undefined while it is not whole. */
function unmasked(bytes: Buffer): { opcode: number; payload: Buffer; bytes: number } | undefined {
  const length = (bytes[1] ?? 0) & 0x7f;
  if (bytes.length < 6 + length) return undefined;
  expect((bytes[1] ?? 0) & 0x80).toBe(0x80);
  const payload = Buffer.from(bytes.subarray(6, 6 + length).map((byte, index) => byte ^ (bytes[2 + (index % 4)] ?? 0)));
  return { opcode: (bytes[0] ?? 0) & 0x0f, payload, bytes: 6 + length };
}

async function run(url: string, outcomes: number, connections = 2, rate = 200): Promise<LoadResult> {
  const load = startLoad({ target: url, classes: [{ kind: 'websocket', rate, connections }], timeoutMs: 500 });
  await expect.poll(() => load.progress().ok + load.progress().failed).toBeGreaterThanOrEqual(outcomes);
  return load.stop();
}

describe('a WebSocket client', () => {
  test('sees its echoes, in one frame or in parts, between pings', async () => {
    await using server = await websocketServer((socket, text) => {
      socket.write(serverFrame(OPCODE.ping, 'are you there'));
      socket.write(serverFrame(OPCODE.text, text.subarray(0, 10), false));
      socket.write(serverFrame(OPCODE.continuation, text.subarray(10)));
    });
    const result = await run(server.url, 40);
    expect(result.lost).toEqual([]);
    expect(result.classes[0]).toMatchObject({ ok: result.due, opened: 2, closedWhileIdle: 0, unsolicited: 0 });
  });

  test('names a Close that comes instead of the echo, with its code', async () => {
    await using server = await websocketServer(socket =>
      socket.write(serverFrame(OPCODE.close, Buffer.from([0x03, 0xf4]))),
    );
    const result = await run(server.url, 10);
    expect(result.failures).toEqual({ eof: result.due });
    expect(result.lost[0]?.detail).toBe('Close 1012 before the echo');
  });

  test('counts a Close that comes between two messages, and opens again', async () => {
    await using server = await websocketServer((socket, text) => {
      socket.write(
        Buffer.concat([serverFrame(OPCODE.text, text), serverFrame(OPCODE.close, Buffer.from([0x03, 0xf4]))]),
      );
    });
    const result = await run(server.url, 20);
    expect(result.failed).toBe(0);
    expect(result.classes[0]).toMatchObject({ closedAnnounced: result.ok, closedWhileIdle: 0, opened: result.ok });
    // So many that the next one already waits when the answer comes: it must not go out before the Close is read.
    const crowded = await run(server.url, 20, 1, 5_000);
    expect(crowded.failures).not.toHaveProperty('eof');
    expect(crowded.classes[0]?.closedAnnounced).toBe(crowded.ok);
  });

  test.each([
    ['another text', 'wrong-body', serverFrame(OPCODE.text, 'another')],
    ['a masked frame', 'malformed', Buffer.from([0x81, 0x81, 1, 2, 3, 4, 5])],
    ['a reserved opcode', 'malformed', serverFrame(3, 'x')],
  ] as const)('names %s', async (_what, kind, answer) => {
    await using server = await websocketServer(socket => socket.write(answer));
    const result = await run(server.url, 10);
    expect(result.failures).toEqual({ [kind]: result.due });
  });
});

test('frames of every length encoding are read whole, and not before', () => {
  for (const length of [0, 125, 126, 65_535]) {
    const payload = Buffer.alloc(length, 'x');
    const encoded = encodeFrame(OPCODE.binary, payload);
    // What a server sends: the same frame without its mask.
    const head = encoded.subarray(0, length > 125 ? 4 : 2);
    head[1] = (head[1] ?? 0) & 0x7f;
    const frame = Buffer.concat([head, payload]);
    expect(decodeFrame(frame.subarray(0, frame.length - 1))).toBeUndefined();
    expect(decodeFrame(Buffer.concat([frame, Buffer.from('rest')]))).toEqual({
      frame: { final: true, opcode: OPCODE.binary, payload },
      rest: Buffer.from('rest'),
    });
  }
});
