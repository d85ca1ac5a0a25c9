import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import {
  decodeAttributes,
  dump,
  eachMessage,
  encodeAttribute,
  encodeMessage,
  submit,
} from '../../src/kernel/netlink.ts';

function messagesOf(datagram: Buffer): { type: number; flags: number; payload: Buffer }[] {
  const messages: { type: number; flags: number; payload: Buffer }[] = [];
  eachMessage(datagram, (type, flags, bytes, start, end) => {
    messages.push({ type, flags, payload: bytes.subarray(start, end) });
  });
  return messages;
}

test('messages survive being encoded and decoded, padding left out', () => {
  const datagram = Buffer.concat([
    encodeMessage(20, 2, 7, Buffer.from('abcde')),
    encodeMessage(3, 2, 7, Buffer.alloc(4)),
  ]);
  expect(datagram.length % 4).toBe(0);
  expect(messagesOf(datagram)).toEqual([
    { type: 20, flags: 2, payload: Buffer.from('abcde') },
    { type: 3, flags: 2, payload: Buffer.alloc(4) },
  ]);
});

test('attributes survive being encoded and decoded', () => {
  const bytes = Buffer.concat([encodeAttribute(11, Buffer.of(1)), encodeAttribute(2, Buffer.from('metrics'))]);
  expect(decodeAttributes(bytes)).toEqual(
    new Map([
      [11, Buffer.of(1)],
      [2, Buffer.from('metrics')],
    ]),
  );
});

test('no bytes make the decoders throw, loop, or read past the end', () => {
  for (let round = 0; round < 20_000; round++) {
    const bytes = randomBytes(Math.floor(Math.random() * 96));
    // Half of them with a length that looks right, so that the fuzzing gets past the first check.
    if (round % 2 === 0 && bytes.length >= 16) bytes.writeUInt32LE(16 + Math.floor(Math.random() * 90), 0);
    for (const message of messagesOf(bytes)) {
      expect(message.payload.length).toBeLessThanOrEqual(bytes.length - 16);
      for (const value of decodeAttributes(message.payload).values()) expect(value.length).toBeLessThan(bytes.length);
    }
    decodeAttributes(bytes);
  }
});

test('the kernel names what is wrong with a dump request', () => {
  // NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, and a request that is too short to hold a family.
  expect(() => dump(4, 20, Buffer.alloc(0), () => {})).toThrow(expect.objectContaining({ code: 'EINVAL' }));
});

test('each of many requests gets its own answer, over several batches', () => {
  const answers = submit(
    4,
    21,
    Array.from({ length: 3000 }, () => Buffer.alloc(56)),
  );
  expect(answers).toHaveLength(3000);
  expect(answers.every(errno => errno !== 0)).toBe(true);
  expect(submit(4, 21, [])).toEqual([]);
});
