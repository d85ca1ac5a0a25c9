import { describe, expect, test } from 'vitest';
import { RelistenError } from '../../src/errors.ts';
import { decode, encode, type Listener, type Message, matchListener } from '../../src/handoff/protocol.ts';
import { random } from '../fixtures/random.ts';

const MESSAGES: Message[] = [
  { type: 'hello', room: 12 },
  {
    type: 'give',
    connections: [
      { to: '127.0.0.1:80', protocol: 'http1', used: true, requests: 3, timeoutMs: 4100 },
      { to: '/run/a.sock', protocol: 'tcp', state: Buffer.from([0, 255]), unread: Buffer.from('é') },
    ],
  },
  { type: 'taken', refused: [1], room: 0 },
  { type: 'refused', why: 'full', room: 0 },
];

test.each(MESSAGES)('$type is read as it was written', message => {
  expect(decode(encode(message))).toEqual(message);
});

const head = Buffer.from('RLHO\x01');
const give = (connection: unknown) => JSON.stringify({ type: 'give', connections: [connection] });

test.each<readonly [string, Buffer, RegExp]>([
  ['nothing', Buffer.alloc(0), /does not begin with RLHO/],
  ['junk', Buffer.from('GET / HTTP/1.1\r\n'), /does not begin with RLHO/],
  ['only the magic', head.subarray(0, 4), /version is missing/],
  ['another version', Buffer.from('RLHO\x02{}'), /version is 2, not 1/],
  ['no JSON', head, /not JSON/],
  ['half of the JSON', encode({ type: 'hello', room: 1 }).subarray(0, 15), /not JSON/],
  ['bytes that are no UTF-8', Buffer.concat([head, Buffer.from([0x22, 0xff, 0x22])]), /not JSON/],
  ...(
    [
      ['a list', '[]', /not an object/],
      ['no type', '{}', /type is missing/],
      ['an unknown type', '{"type":"take"}', /type is "take"/],
      ['a room that is no number', '{"type":"hello","room":"9"}', /room is not a whole number/],
      ['a negative room', '{"type":"hello","room":-1}', /room is not a whole number/],
      ['no connections', '{"type":"give"}', /a list is missing/],
      ['a connection that is none', give(null), /a connection is not an object/],
      ['a connection to nowhere', give({ protocol: 'tcp' }), /to is not a string/],
      ['an unknown protocol', give({ to: '1', protocol: 'h2' }), /protocol is "h2"/],
      ['a state that is no text', give({ to: '1', protocol: 'tcp', state: [1] }), /state is not a string/],
      ['a timeout that never ends', give({ to: '1', protocol: 'http1', timeoutMs: 1e300 }), /timeoutMs is not a whole/],
      ['an index that is none', '{"type":"taken","refused":[0.5],"room":1}', /index is not a whole number/],
    ] as const
  ).map(([name, json, error]) => [name, Buffer.concat([head, Buffer.from(json)]), error] as const),
])('%s is refused, and said why', (_, bytes, error) => {
  expect(() => decode(bytes)).toThrow(error);
});

test('whatever comes is a message or a RelistenError', () => {
  const below = random(20261120);
  for (let round = 0; round < 5_000; round++) {
    const bytes = encode(MESSAGES[round % MESSAGES.length] as Message);
    for (let change = 0; change <= round % 4; change++) bytes[below(bytes.length)] = below(256);
    const cut = round % 5 === 0 ? below(bytes.length) : bytes.length;
    try {
      expect(MESSAGES.map(message => message.type)).toContain(decode(bytes.subarray(0, cut)).type);
    } catch (error) {
      expect(error).toBeInstanceOf(RelistenError);
    }
  }
});

describe('a connection belongs to', () => {
  const at = (text: string, protocol: 'http1' | 'tcp' = 'http1'): Listener => {
    const [, host = '', port] = /^\[?(.*?)\]?:(\d+)$/.exec(text) ?? [];
    return { text, address: text.startsWith('/') ? { path: text } : { host, port: Number(port) }, protocol };
  };
  const v4 = { host: '127.0.0.1', port: 80 };

  test.each([
    ['the listener that it names', '127.0.0.1:80', v4, ['0.0.0.0:80', '127.0.0.1:80'], '127.0.0.1:80'],
    ['the wildcard that it names', '0.0.0.0:80', v4, ['127.0.0.1:80', '0.0.0.0:80'], '0.0.0.0:80'],
    ['nobody, if it lies', '127.0.0.1:81', v4, ['127.0.0.1:81'], undefined],
    ['its own address, where its listener is gone', '0.0.0.0:80', v4, ['[::]:80', '127.0.0.1:80'], '127.0.0.1:80'],
    ['a wildcard then', '127.0.0.1:80', v4, ['[::]:80'], '[::]:80'],
    ['no IPv4 wildcard, if it is IPv6', '[::1]:80', { host: '::1', port: 80 }, ['0.0.0.0:80'], undefined],
    ['IPv6, if it is IPv4 in IPv6', '[::]:80', { host: '::ffff:127.0.0.1', port: 80 }, ['[::]:80'], '[::]:80'],
    ['nobody at another port', '127.0.0.1:81', { host: '127.0.0.1', port: 81 }, ['0.0.0.0:80'], undefined],
    ['a path', '/run/a', { path: '/run/a' }, ['0.0.0.0:80', '/run/a'], '/run/a'],
  ] as const)('%s', (_, to, local, listeners, expected) => {
    const found = matchListener(
      { to, protocol: 'http1' },
      local,
      listeners.map(text => at(text)),
    );
    expect(found?.text).toBe(expected);
  });

  test('nobody who speaks something else', () => {
    const listeners = [at('127.0.0.1:80', 'tcp')];
    expect(matchListener({ to: '127.0.0.1:80', protocol: 'http1' }, v4, listeners)).toBeUndefined();
    expect(matchListener({ to: '127.0.0.1:80', protocol: 'tcp' }, v4, listeners)).toBe(listeners[0]);
  });
});
