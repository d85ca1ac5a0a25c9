import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SocketAddress } from '../../src/address.ts';
import { call } from '../../src/kernel/libc.ts';
import { socket } from '../../src/kernel/socket.ts';
import { checkListener, match, parseListenFds, type Wanted } from '../../src/listen/inherited.ts';
import { own } from '../fixtures/own.ts';
import { boundSocket, connection, listener } from '../fixtures/tcp.ts';

describe('parseListenFds', () => {
  const PID = 4242;
  const env = (fds: string, names?: string) => ({ LISTEN_PID: String(PID), LISTEN_FDS: fds, LISTEN_FDNAMES: names });
  const unnamed = { fd: 3, name: 'unknown' };

  it.each<[NodeJS.ProcessEnv, unknown[]]>([
    [{}, []],
    [{ LISTEN_FDS: '1' }, []],
    [{ LISTEN_FDS: '1', LISTEN_PID: '1' }, []],
    [{ LISTEN_FDS: 'junk', LISTEN_PID: '1' }, []],
    [env('1'), [unnamed]],
    [env('1', ''), [unnamed]],
    [
      env('2', 'web:admin'),
      [
        { fd: 3, name: 'web' },
        { fd: 4, name: 'admin' },
      ],
    ],
    [
      env('2', 'web'),
      [
        { fd: 3, name: 'web' },
        { fd: 4, name: 'unknown' },
      ],
    ],
  ])('reads %j', (given, expected) => {
    expect(parseListenFds(given, PID)).toEqual(expected);
  });

  it.each(['', '0', '-1', '1.5', 'two', '3 ', '99999999'])('refuses LISTEN_FDS=%j', given => {
    const why = `LISTEN_FDS is ${JSON.stringify(given)}, expected how many descriptors are passed`;
    expect(() => parseListenFds(env(given), PID)).toThrow(
      expect.objectContaining({ code: 'ERR_LISTEN_FDS', message: `Cannot adopt a listener: ${why}` }),
    );
  });
});

describe('checkListener', () => {
  const refused = (fd: number) => {
    try {
      checkListener({ fd, name: 'web' });
    } catch (error) {
      return (error as Error).message;
    }
    return undefined;
  };

  it('answers the address of a listener', () => {
    const { fd, port } = listener();
    expect(checkListener({ fd: own(fd), name: 'web' })).toEqual({ family: 'IPv4', host: '127.0.0.1', port });
  });

  it('refuses what is not open', () => {
    expect(refused(987)).toMatch(/descriptor 987 \(web\), which is not open or not a socket, expected a stream socket/);
  });

  it('refuses what is not a socket', () => {
    const folder = mkdtempSync(join(tmpdir(), 'i-'));
    writeFileSync(join(folder, 'file'), '');
    expect(refused(own(openSync(join(folder, 'file'), 'r')))).toMatch(/which is not open or not a socket/);
    rmSync(folder, { recursive: true });
  });

  it('refuses either end of a connection, and a socket that does not listen', () => {
    const listening = listener();
    own(listening.fd);
    const { client, server } = connection(listening);
    for (const fd of [client, server, boundSocket().fd, socket('unix')]) {
      expect(refused(own(fd))).toMatch(/a connection or a socket that does not listen/);
    }
  });

  it('refuses datagram sockets, and families that nobody listens on', () => {
    const [AF_INET, AF_NETLINK, SOCK_DGRAM, SOCK_RAW] = [2, 16, 2, 3];
    expect(refused(own(call('socket', [AF_INET, SOCK_DGRAM, 0])))).toMatch(/which is no stream socket/);
    expect(refused(own(call('socket', [AF_NETLINK, SOCK_RAW, 0])))).toMatch(/neither IP nor unix/);
  });
});

describe('match', () => {
  const tcp = (host: string, port: number): SocketAddress => ({
    family: host.includes(':') ? 'IPv6' : 'IPv4',
    host,
    port,
  });
  const unix = (path: string): SocketAddress => ({ family: 'unix', path });
  const passed = (...list: [string, SocketAddress][]) =>
    list.map(([name, address], index) => ({ fd: 3 + index, name, address }));
  const web = passed(['web', tcp('::', 80)], ['admin', tcp('127.0.0.1', 81)], ['sock', unix('/run/app.sock')]);

  const any: Wanted = { resolved: [] };
  const port = (number: number): Wanted => ({
    address: { port: number },
    resolved: [tcp('::', number), tcp('0.0.0.0', number)],
  });
  const on = (host: string, number: number, ...resolved: string[]): Wanted => ({
    address: { host, port: number },
    resolved: (resolved.length > 0 ? resolved : [host]).map(one => tcp(one, number)),
  });
  const path = (text: string): Wanted => ({ address: { path: text }, resolved: [unix(text)] });

  it.each<[string, Wanted, ReturnType<typeof passed>, string]>([
    ['anything, of nothing', any, [], 'bind'],
    ['anything', any, web, 'adopt 3'],
    ['anything of a name', { ...any, name: 'admin' }, web, 'adopt 4'],
    ['a port, of nothing', port(80), [], 'bind'],
    ['a port', port(80), web, 'adopt 3'],
    ['a port that is passed on one host', port(81), web, 'adopt 4'],
    ['another port', port(82), web, 'bind'],
    ['a fresh port', port(0), web, 'bind'],
    ['any port of a name', { ...port(0), name: 'admin' }, web, 'adopt 4'],
    ['host and port', on('127.0.0.1', 81), web, 'adopt 4'],
    ['a name of that host', on('localhost', 81, '::1', '127.0.0.1'), web, 'adopt 4'],
    ['another text of that host', on('0:0:0:0:0:0:0:0', 80), web, 'adopt 3'],
    ['the port on another host', on('127.0.0.2', 81), web, 'conflict 4'],
    ['a host that a wildcard has', on('127.0.0.1', 80), web, 'conflict 3'],
    ['a path', path('/run/app.sock'), web, 'adopt 5'],
    ['the same path in other words', path('/run/../run/app.sock'), web, 'adopt 5'],
    ['another path', path('/run/other.sock'), web, 'bind'],
    ['a name that is not passed', { ...port(80), name: 'api' }, web, 'bind'],
    ['a name at its address', { ...port(81), name: 'admin' }, web, 'adopt 4'],
    ['a name at another address', { ...port(80), name: 'admin' }, web, 'conflict 4'],
    ['a name at another kind of address', { ...port(80), name: 'sock' }, web, 'conflict 5'],
  ])('%s', (_name, wanted, inherited, expected) => {
    const found = match(wanted, inherited);
    const shown =
      found === 'bind' ? found : 'adopt' in found ? `adopt ${found.adopt.fd}` : `conflict ${found.conflict.fd}`;
    expect(shown).toBe(expected);
  });
});
