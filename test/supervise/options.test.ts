import { describe, expect, test } from 'vitest';
import { checkPorts, parsePort, parseRegExp, parseSignal } from '../../src/supervise/options.ts';

describe('-p', () => {
  test.each([
    ['3000', { address: { port: 3000 } }],
    ['127.0.0.1:3000', { address: { host: '127.0.0.1', port: 3000 } }],
    ['web=[::1]:3000', { name: 'web', address: { host: '::1', port: 3000 } }],
    ['/run/app.sock', { address: { path: '/run/app.sock' } }],
    ['admin=/run/app=1.sock', { name: 'admin', address: { path: '/run/app=1.sock' } }],
    ['/run/app=1.sock', { address: { path: '/run/app=1.sock' } }],
    ['@name', { address: { path: '\0name' } }],
  ])('reads %s', (given, expected) => {
    expect(parsePort(given)).toEqual(expected);
  });

  test.each(['', 'web=', '65536', '-1', '0', '3000x', 'host:', 'web=http'])('refuses %j', given => {
    expect(() => parsePort(given)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }));
  });

  test('names an address once', () => {
    expect(() => checkPorts([parsePort('3000'), parsePort('web=3000')])).toThrow('each address once');
  });
});

test.each([
  ['SIGTERM', 'SIGTERM'],
  ['quit', 'SIGQUIT'],
  ['12', 'SIGUSR2'],
])('reads the signal %s', (given, expected) => {
  expect(parseSignal('--stop-signal', given)).toBe(expected);
});

test('refuses a signal that there is not', () => {
  expect(() => parseSignal('--stop-signal', 'SIGNOPE')).toThrow('Invalid --stop-signal: "SIGNOPE", expected a name');
});

test('reads a regular expression with or without slashes', () => {
  expect(parseRegExp('--ready-line', '/Ready/i').test('ready')).toBe(true);
  expect(parseRegExp('--ready-line', 'listening on').test('now listening on 3000')).toBe(true);
});

test('says why a regular expression does not compile', () => {
  expect(() => parseRegExp('--ready-line', '/(/')).toThrow(/Invalid --ready-line: .*Unterminated group/);
});
