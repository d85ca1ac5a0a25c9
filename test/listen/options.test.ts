import { describe, expect, it } from 'vitest';
import { checkOptions, type ListenOptions } from '../../src/listen/options.ts';

describe('checkOptions', () => {
  it.each<[ListenOptions | number | string, object]>([
    [3000, { address: { port: 3000 }, shown: '3000' }],
    ['127.0.0.1:3000', { address: { host: '127.0.0.1', port: 3000 }, shown: '127.0.0.1:3000' }],
    [{ port: '3000' }, { address: { port: 3000 } }],
    [
      { port: 3000, host: '::1' },
      { address: { port: 3000, host: '::1' }, shown: '[::1]:3000' },
    ],
    [{ path: '@name' }, { address: { path: '\0name' }, shown: '@name' }],
    [
      { path: '/run/app.sock', mode: 0o660 },
      { address: { path: '/run/app.sock' }, mode: 0o660 },
    ],
    [{}, { address: undefined, shown: 'an inherited listener' }],
    [{ port: 1 }, { backlog: 511, reuse: 'auto', evict: false, interval: undefined, deadline: undefined }],
    [
      { port: 1, retry: true },
      { interval: 20, deadline: undefined },
    ],
    [
      { port: 1, retry: { deadline: 5_000 } },
      { interval: 20, deadline: 5_000 },
    ],
    [{ port: 1, retry: { interval: 500 } }, { interval: 500 }],
    [{ port: 1, retry: false }, { interval: undefined }],
  ])('reads %j', (given, expected) => {
    expect(checkOptions(given)).toMatchObject(expected);
  });

  it.each<[string, unknown, RegExp]>([
    ['no options', undefined, /^Invalid options: undefined, expected an object with port or path/],
    ['null', null, /^Invalid options: null/],
    ['a port with junk', { port: '3000abc' }, /^Invalid port: "3000abc", expected a whole number from 0 to 65535$/],
    ['an empty port', { port: '' }, /^Invalid port: ""/],
    ['a port with a sign', { port: '+80' }, /^Invalid port/],
    ['a negative port', { port: -1 }, /^Invalid port: -1/],
    ['a port that is too high', { port: 65536 }, /^Invalid port: 65536/],
    ['a high port as text', { port: '65536' }, /^Invalid port: 65536/],
    ['NaN', { port: Number.NaN }, /^Invalid port: NaN/],
    ['a fraction', { port: 80.5 }, /^Invalid port: 80.5/],
    ['an address with junk', '127.0.0.1:80x', /^Invalid address: "127.0.0.1:80x"/],
    ['an empty host', { port: 80, host: '' }, /^Invalid host: "", expected an IP address or a host name$/],
    ['a host that is no text', { port: 80, host: 7 }, /^Invalid host: 7/],
    ['a host without a port', { host: '::1' }, /^Invalid port: undefined/],
    ['a path over 107 bytes', { path: `/${'x'.repeat(107)}` }, /expected at most 107 bytes, not 108$/],
    ['an empty path', { path: '' }, /^Invalid unix path: ""/],
    ['a path that is no text', { path: 7 }, /^Invalid unix path: 7/],
    ['a path and a port', { path: '/a', port: 1 }, /expected either path or port$/],
    ['a backlog of 0', { port: 1, backlog: 0 }, /^Invalid backlog: 0, expected a whole number from 1 to 2147483647$/],
    ['an unknown reuse', { port: 1, reuse: 'all' }, /^Invalid reuse: "all", expected auto, address, port, both, none$/],
    ['evict as text', { port: 1, evict: 'yes' }, /^Invalid evict: "yes", expected a boolean$/],
    ['a mode as text', { path: '/a', mode: '660' }, /^Invalid mode: "660", expected a whole number from 0 to 511$/],
    ['retry as a number', { port: 1, retry: 3 }, /^Invalid retry: 3/],
    ['an interval of 0', { port: 1, retry: { interval: 0 } }, /^Invalid retry.interval: 0/],
    ['a deadline of NaN', { port: 1, retry: { deadline: Number.NaN } }, /^Invalid retry.deadline: NaN/],
    ['a signal that is none', { port: 1, signal: {} }, /^Invalid signal: .*expected an AbortSignal$/],
    ['onWait that is none', { port: 1, onWait: true }, /^Invalid onWait: true, expected a function$/],
    ['a name that is none', { port: 1, name: 1 }, /^Invalid name: 1, expected a string$/],
  ])('refuses %s', (_name, given, message) => {
    expect(() => checkOptions(given as ListenOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE', message: expect.stringMatching(message) }),
    );
  });
});
