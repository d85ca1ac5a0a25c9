import { describe, expect, test } from 'vitest';
import { type HttpResponse, HttpResponseParser } from '../../src/prove/http-response.ts';

const bytes = (text: string) => Buffer.from(text, 'latin1');

/** Parses a response that comes in pieces of a size. */
function parse(text: string, size = text.length, method = 'GET'): HttpResponse | undefined {
  const parser = new HttpResponseParser(method, true);
  for (let at = 0; at < text.length; at += size) {
    const response = parser.push(bytes(text.slice(at, at + size)));
    if (response) return response;
  }
  return parser.end();
}

const whole: [string, string, Partial<HttpResponse> & { text?: string }][] = [
  [
    'by its length',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
    { status: 200, persistent: true, text: 'hello' },
  ],
  ['empty', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', { persistent: true, text: '' }],
  ['without a reason', 'HTTP/1.1 204\r\n\r\n', { status: 204, persistent: true, text: '' }],
  ['304 with a length of what it did not send', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n', { text: '' }],
  [
    'in chunks, with an extension and a trailer',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n',
    { persistent: true, text: 'hello0123456789' },
  ],
  [
    'after interim responses',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    { status: 200, text: 'ok' },
  ],
  [
    'that closes',
    'HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 2\r\n\r\nok',
    { persistent: false, text: 'ok' },
  ],
  ['of HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok', { persistent: false, text: 'ok' }],
  [
    'of HTTP/1.0 that stays',
    'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok',
    { persistent: true },
  ],
  [
    'until the end of the connection',
    'HTTP/1.1 200 OK\r\n\r\nall there is',
    { persistent: false, text: 'all there is' },
  ],
];

describe('a whole response', () => {
  test.each(whole)('%s', (_what, text, { text: body, ...expected }) => {
    // Every way to cut it into pieces of one size: TCP has no message borders.
    for (const size of [text.length, 1, 2, 3, 7]) {
      const response = parse(text, size);
      expect(response).toMatchObject(expected);
      if (body !== undefined) expect(response?.body.toString()).toBe(body);
    }
  });

  test('to HEAD has no body, whatever its length says', () => {
    expect(parse('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 4, 'HEAD')?.body.length).toBe(0);
  });

  test('keeps repeated fields apart by a comma', () => {
    expect(parse('HTTP/1.1 204 No\r\nA: 1\r\na:2 \r\n\r\n')?.headers.get('a')).toBe('1, 2');
  });
});

test.each([
  ['junk', 'SSH-2.0'],
  ['junk from its first byte', 'x'],
  ['HTTP/2', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
  ['bare line feeds', 'HTTP/1.1 200 OK\nContent-Length: 0\n\r\n\r\n'],
  ['a folded field', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n'],
  ['a blank before the colon', 'HTTP/1.1 200 OK\r\nA : b\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
  ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'],
  ['a length beside chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['a coding that nobody asked for', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
  ['a chunk size that is none', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
  ['a chunk longer than it said', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n'],
  ['bytes after the end', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!'],
  ['an endless head', `HTTP/1.1 200 OK\r\nA: ${'a'.repeat(70_000)}`],
])('%s is malformed', (_what, text) => {
  expect(() => parse(text)).toThrow();
});

test.each([
  ['head', 'HTTP/1.1 200 OK\r\nContent-Le'],
  ['body', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell'],
  ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n'],
  ['interim response', 'HTTP/1.1 100 Continue\r\n\r\n'],
])('an end in the middle of the %s is no response', (_where, text) => {
  for (const size of [text.length, 1]) expect(parse(text, size)).toBeUndefined();
});

test('random bytes after a good beginning never hang it and never crash it otherwise than as malformed', () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed % below;
  };
  const alphabet = [
    'HTTP/1.1 200 OK',
    '\r\n',
    '\r',
    '\n',
    'Content-Length: 3',
    'Transfer-Encoding: chunked',
    '3',
    'abc',
    ':',
    ' ',
  ];
  for (let round = 0; round < 2000; round += 1) {
    const text = Array.from({ length: 1 + random(12) }, () => alphabet[random(alphabet.length)]).join('');
    try {
      parse(`HTTP/1.1 200 OK\r\n${text}`, 1 + random(5));
    } catch (error) {
      expect((error as Error).constructor.name).toBe('MalformedResponse');
    }
  }
});
