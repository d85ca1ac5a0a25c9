import { describe, expect, test } from 'vitest';
import { parseLsof, parseLsofCwd } from '../../src/kernel/lsof.ts';
import { parseBsdNetstat, parseWindowsNetstat } from '../../src/kernel/netstat.ts';
import { parseCim, parsePs } from '../../src/kernel/ps.ts';
import { parseToolAddress } from '../../src/kernel/tool-socket.ts';

const LSOF = `p18359
f21
tIPv6
n*:40383
TST=LISTEN
TQR=0
f22
tIPv4
n127.0.0.1:52762->127.0.0.1:40383
TST=ESTABLISHED
p400
f3
tIPv6
n[::1]:40383->[::1]:44004
TST=CLOSE_WAIT
`;
// As macOS 14 prints it.
const BSD = `Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)
tcp4       0      0  127.0.0.1.3000         127.0.0.1.51234        TIME_WAIT
tcp46      0      0  *.3000                 *.*                    LISTEN
tcp6       0      0  fe80::1%lo0.3000       *.*                    LISTEN
tcp6       0      0  ::1.3000               ::1.51240              FIN_WAIT_2
udp4       0      0  *.5353                 *.*
`;
// As Windows 11 prints it, in English and in German.
const WINDOWS = `
Active Connections

  Proto  Local Address          Foreign Address        State           PID
  TCP    0.0.0.0:3000           0.0.0.0:0              LISTENING       4242
  TCP    127.0.0.1:3000         127.0.0.1:51234        TIME_WAIT       0
  TCP    [::1]:3000             [::]:0                 LISTENING       4243
`;
const GERMAN = `
  TCP    0.0.0.0:3000           0.0.0.0:0              ABHÖREN         4242
  TCP    127.0.0.1:3000         127.0.0.1:51234        WARTEND         0
  TCP    127.0.0.1:3000         127.0.0.1:51235        HERGESTELLT     4242
`;
const PS = `18359 18356     0 root     Fri Nov 20 13:50:57 2026 node /srv/app/server.js --port 3000
  501     1   501 web-user Mon Nov  2 03:04:05 2026 -zsh
`;

test('lsof: a socket a descriptor, with its process', () => {
  expect(parseLsof(LSOF)).toEqual([
    { state: 'LISTEN', local: { family: 'IPv6', host: '::', port: 40383 }, pid: 18359 },
    {
      state: 'ESTABLISHED',
      local: { family: 'IPv4', host: '127.0.0.1', port: 52762 },
      peer: { family: 'IPv4', host: '127.0.0.1', port: 40383 },
      pid: 18359,
    },
    {
      state: 'CLOSE_WAIT',
      local: { family: 'IPv6', host: '::1', port: 40383 },
      peer: { family: 'IPv6', host: '::1', port: 44004 },
      pid: 400,
    },
  ]);
  expect(parseLsofCwd('p400\nfcwd\nn/srv/my app\n')).toBe('/srv/my app');
  expect(parseLsofCwd('')).toBeUndefined();
});

test('netstat of macOS: a dot before the port, a star for the wildcard', () => {
  expect(parseBsdNetstat(BSD)).toEqual([
    {
      state: 'TIME_WAIT',
      local: { family: 'IPv4', host: '127.0.0.1', port: 3000 },
      peer: { family: 'IPv4', host: '127.0.0.1', port: 51234 },
    },
    { state: 'LISTEN', local: { family: 'IPv6', host: '::', port: 3000 } },
    { state: 'LISTEN', local: { family: 'IPv6', host: 'fe80::1', port: 3000 } },
    {
      state: 'FIN_WAIT2',
      local: { family: 'IPv6', host: '::1', port: 3000 },
      peer: { family: 'IPv6', host: '::1', port: 51240 },
    },
  ]);
});

test('netstat of Windows, in any language', () => {
  expect(parseWindowsNetstat(WINDOWS)).toEqual([
    { state: 'LISTEN', local: { family: 'IPv4', host: '0.0.0.0', port: 3000 }, pid: 4242 },
    {
      state: 'TIME_WAIT',
      local: { family: 'IPv4', host: '127.0.0.1', port: 3000 },
      peer: { family: 'IPv4', host: '127.0.0.1', port: 51234 },
    },
    { state: 'LISTEN', local: { family: 'IPv6', host: '::1', port: 3000 }, pid: 4243 },
  ]);
  expect(parseWindowsNetstat(GERMAN).map(({ state, pid }) => [state, pid])).toEqual([
    ['LISTEN', 4242],
    ['TIME_WAIT', undefined],
    ['ESTABLISHED', 4242],
  ]);
});

test('ps: who, since when, and the whole command', () => {
  expect(parsePs(PS)).toEqual([
    expect.objectContaining({
      pid: 18359,
      ppid: 18356,
      uid: 0,
      user: 'root',
      command: 'node /srv/app/server.js --port 3000',
      startedAt: new Date(2026, 10, 20, 13, 50, 57).getTime(),
    }),
    expect.objectContaining({ pid: 501, user: 'web-user', startedAt: new Date(2026, 10, 2, 3, 4, 5).getTime() }),
  ]);
});

test('PowerShell: one process, several, none, and nonsense', () => {
  const one = {
    ProcessId: 4242,
    ParentProcessId: 7,
    Name: 'node.exe',
    CommandLine: 'node server.js',
    Started: 1763640000000,
  };
  const facts = expect.objectContaining({ pid: 4242, ppid: 7, command: 'node server.js', startedAt: 1763640000000 });
  expect(parseCim(JSON.stringify(one))).toEqual([facts]);
  expect(parseCim(JSON.stringify([one, { ...one, ProcessId: 4, CommandLine: null, Name: 'System' }]))).toEqual([
    facts,
    expect.objectContaining({ pid: 4, command: 'System' }),
  ]);
  for (const text of ['', 'null', '[]', '[null]', '{}', '[{"ProcessId":"x"}]']) expect(parseCim(text)).toEqual([]);
});

test.each([
  ['*:3000', 'IPv6', { family: 'IPv6', host: '::', port: 3000 }],
  ['*.3000', 'IPv4', { family: 'IPv4', host: '0.0.0.0', port: 3000 }],
  ['[fe80::1%en0]:80', 'IPv6', { family: 'IPv6', host: 'fe80::1', port: 80 }],
  ['*.*', 'IPv4', undefined],
  ['*:*', 'IPv4', undefined],
  ['localhost:80', 'IPv4', undefined],
  ['1.2.3.4:65536', 'IPv4', undefined],
] as const)('the address %s of an %s socket', (text, family, expected) => {
  expect(parseToolAddress(text, family)).toEqual(expected);
});

describe('output that is cut or garbled anywhere', () => {
  test.each([
    ['lsof', LSOF, parseLsof],
    ['netstat of macOS', BSD, parseBsdNetstat],
    ['netstat of Windows', WINDOWS, parseWindowsNetstat],
    ['ps', PS, parsePs],
    ['PowerShell', '[{"ProcessId":1,"Started":2}]', parseCim],
  ])('%s: loses lines and never throws', (_tool, text, parse) => {
    for (let at = 0; at < text.length; at++) {
      const byte = String.fromCharCode(9 + Math.floor(Math.random() * 117));
      for (const broken of [text.slice(0, at), text.slice(at), text.slice(0, at) + byte + text.slice(at + 1)]) {
        for (const found of parse(broken)) {
          if ('pid' in found && found.pid !== undefined) expect(Number.isFinite(found.pid)).toBe(true);
          if ('local' in found) expect(found.local.port).toBeLessThan(65536);
        }
      }
    }
  });
});
