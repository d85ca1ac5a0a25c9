import { describe, expect, test } from 'vitest';
import { parseTcpTable, parseUnixTable } from '../../src/kernel/proc-net.ts';

// Taken from Linux 6.18 on x86-64.
const TCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1061 1 00000000b66344af 100 0 0 10 0
   1: 0100007F:0BB8 0100007F:A2C4 06 00000000:00000000 03:00001766 00000000     0        0 0 3 00000000aa6344af
   2: 0100007F:A2C6 0100007F:0BB8 01 00000000:00000012 02:00000B1A 00000000  1000        0 20481 2 00000000c06344af 20 4 30 10 -1
`;
const TCP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 15714 1 00000000d16344af 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:81EC 06 00000000:00000000 03:00000BB8 00000000     0        0 0 3 00000000e26344af
`;
const UNIX = `Num       RefCount Protocol Flags    Type St Inode Path
00000000ea3dd322: 00000003 00000000 00000000 0001 03  1058
000000003329ecb6: 00000002 00000000 00010000 0001 01  1057 /run/user/0/my app.sock
0000000011111111: 00000002 00000000 00010000 0001 01  2057 @abstract
0000000022222222: 00000002 00000000 00000000 0002 01  3057 /run/systemd/notify
0000000033333333: 00000002 00000000 00000000 0001 01  4057 /run/bound.sock
`;

describe('/proc/net/tcp', () => {
  test('a listener, a TIME_WAIT with its time, and a client', () => {
    expect(parseTcpTable(TCP)).toEqual([
      expect.objectContaining({
        family: 'IPv4',
        state: 'LISTEN',
        localPort: 3000,
        local: { family: 'IPv4', host: '127.0.0.1', port: 3000 },
        peer: undefined,
        inode: 1061,
        uid: 1000,
        remainingMs: undefined,
      }),
      expect.objectContaining({
        state: 'TIME_WAIT',
        peer: { family: 'IPv4', host: '127.0.0.1', port: 41668 },
        inode: 0,
        remainingMs: 59_900,
      }),
      expect.objectContaining({ state: 'ESTABLISHED', localPort: 41670, inode: 20481, remainingMs: undefined }),
    ]);
  });

  test('a port narrows it to that local port', () => {
    expect(parseTcpTable(TCP, 3000).map(({ state }) => state)).toEqual(['LISTEN', 'TIME_WAIT']);
    expect(parseTcpTable(TCP, 3001)).toEqual([]);
  });

  test('IPv6 words are in host order, and IPv4 shows as mapped', () => {
    expect(parseTcpTable(TCP6).map(({ local, peer }) => [local, peer])).toEqual([
      [{ family: 'IPv6', host: '::1', port: 8080 }, undefined],
      [
        { family: 'IPv6', host: '::ffff:127.0.0.1', port: 8080 },
        { family: 'IPv6', host: '::ffff:127.0.0.1', port: 33260 },
      ],
    ]);
  });
});

describe('/proc/net/unix', () => {
  test('stream sockets with their paths, spaces in them included', () => {
    expect(parseUnixTable(UNIX)).toEqual([
      { path: undefined, state: 'ESTABLISHED', inode: 1058 },
      { path: '/run/user/0/my app.sock', state: 'LISTEN', inode: 1057 },
      { path: '\0abstract', state: 'LISTEN', inode: 2057 },
      { path: '/run/bound.sock', state: 'CLOSE', inode: 4057 },
    ]);
  });
});

test('a table that is cut or garbled anywhere loses lines, never throws, and invents nothing', () => {
  const known = new Set([...parseTcpTable(TCP), ...parseTcpTable(TCP6)].map(({ inode }) => inode));
  for (const table of [TCP, TCP6, UNIX]) {
    for (let at = 0; at < table.length; at++) {
      const byte = String.fromCharCode(32 + Math.floor(Math.random() * 95));
      for (const text of [table.slice(0, at), table.slice(at), table.slice(0, at) + byte + table.slice(at + 1)]) {
        for (const { local, localPort, inode } of parseTcpTable(text)) {
          expect(local).toMatchObject({ port: localPort });
          expect(Number.isInteger(inode)).toBe(true);
        }
        expect(Array.isArray(parseUnixTable(text))).toBe(true);
      }
    }
  }
  expect(known).toEqual(new Set([1061, 0, 20481, 15714]));
});
