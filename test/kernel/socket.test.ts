import { closeSync, openSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { SocketAddress } from '../../src/address.ts';
import { duplicate, isCloexec } from '../../src/kernel/fd.ts';
import {
  accept,
  bind,
  connect,
  describeSocket,
  getOption,
  listen,
  localAddress,
  peerAddress,
  peerCredentials,
  type SocketDomain,
  type SocketOption,
  setOption,
  shutdown,
  socket,
} from '../../src/kernel/socket.ts';
import { closeOwn, own } from '../fixtures/own.ts';

const path = `\0relisten-test-${process.pid}`;
const ANY_PORT: Record<SocketDomain, SocketAddress> = {
  IPv4: { family: 'IPv4', host: '127.0.0.1', port: 0 },
  IPv6: { family: 'IPv6', host: '::1', port: 0 },
  unix: { family: 'unix', path },
};

function listener(domain: SocketDomain): { fd: number; address: SocketAddress } {
  const fd = own(socket(domain));
  bind(fd, ANY_PORT[domain]);
  listen(fd, 5);
  const address = localAddress(fd);
  if (address === undefined) throw new Error('a bound socket has an address');
  return { fd, address };
}

function connection(server: { fd: number; address: SocketAddress }) {
  const client = own(socket(server.address.family));
  connect(client, server.address);
  return { client, served: own(accept(server.fd)) };
}

describe.each(['IPv4', 'IPv6', 'unix'] as const)('over %s', domain => {
  test('a server and a client meet, and each knows both addresses', () => {
    const server = listener(domain);
    const { client, served } = connection(server);
    expect(server.address).toMatchObject({ family: domain });
    expect(localAddress(served)).toEqual(server.address);
    expect(peerAddress(client)).toEqual(server.address);
    expect(peerAddress(served)).toEqual(localAddress(client));
  });

  test('every fd that is made, accepted or duplicated is closed by execve', () => {
    const server = listener(domain);
    const { client, served } = connection(server);
    const all = [server.fd, client, served, own(duplicate(server.fd)), own(socket(domain, { nonblocking: true }))];
    expect(all.map(isCloexec)).toEqual(all.map(() => true));
  });

  test('a second bind of the same address fails with the call, the address and the reason', () => {
    const { address } = listener(domain);
    const second = own(socket(domain));
    const named = 'path' in address ? `@${path.slice(1)}` : `${address.port}`;
    expect(() => bind(second, address)).toThrow(
      expect.objectContaining({ op: 'bind', code: 'EADDRINUSE', message: expect.stringContaining(named) }),
    );
  });

  test('a non-blocking listener without clients answers EAGAIN', () => {
    const fd = own(socket(domain, { nonblocking: true }));
    bind(fd, ANY_PORT[domain]);
    listen(fd, 1);
    expect(() => accept(fd)).toThrow(expect.objectContaining({ op: 'accept4', code: 'EAGAIN' }));
  });

  test('a connection to nobody is refused', () => {
    const { fd, address } = listener(domain);
    closeOwn(fd);
    expect(() => connect(own(socket(domain)), address)).toThrow(/^connect\(\d+, .+\) failed: connection refused/);
  });
});

test('a socket of a file system path listens there', () => {
  const fd = own(socket('unix'));
  const file = join(tmpdir(), 's');
  bind(fd, { family: 'unix', path: file });
  listen(fd, 1);
  expect(localAddress(fd)).toEqual({ family: 'unix', path: file });
  const client = own(socket('unix'));
  connect(client, { family: 'unix', path: file });
  expect(peerCredentials(client)).toEqual({ pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
  unlinkSync(file);
});

test('an unnamed unix socket has no address', () => {
  expect(localAddress(own(socket('unix')))).toBeUndefined();
});

describe('an option', () => {
  test.each([
    ['SO_REUSEADDR', 1],
    ['SO_REUSEPORT', 1],
    ['IPV6_V6ONLY', 1],
    ['IPV6_V6ONLY', 0],
  ] satisfies [SocketOption, number][])('%s is read back as %i', (option, value) => {
    const fd = own(socket('IPv6'));
    setOption(fd, option, value);
    expect(getOption(fd, option)).toBe(value);
  });

  test.each([
    ['SO_TYPE', 1],
    ['SO_DOMAIN', 2],
    ['SO_PROTOCOL', 6],
    ['SO_ERROR', 0],
    ['SO_ACCEPTCONN', 0],
  ] satisfies [SocketOption, number][])('%s of a TCP socket is %i', (option, value) => {
    expect(getOption(own(socket('IPv4')), option)).toBe(value);
  });

  test('of what is no socket fails with its name', () => {
    const file = openSync('/dev/null', 'r');
    try {
      expect(() => getOption(file, 'SO_TYPE')).toThrow(/^getsockopt\(\d+, SO_TYPE\) failed: .+ \(ENOTSOCK\)$/);
      expect(() => setOption(file, 'SO_REUSEADDR', 1)).toThrow(/^setsockopt\(\d+, SO_REUSEADDR, 1\) failed/);
    } finally {
      closeSync(file);
    }
  });
});

describe('what a descriptor is', () => {
  const plain = { stream: true, listening: false, reuseport: false, v6only: false };

  test.each([
    ['a TCP socket', () => socket('IPv4'), { ...plain, domain: 'IPv4' }],
    ['a unix socket', () => socket('unix'), { ...plain, domain: 'unix' }],
    ['a listener', () => duplicate(listener('IPv4').fd), { ...plain, domain: 'IPv4', listening: true }],
    [
      'one of a SO_REUSEPORT group',
      () => withOption('IPv4', 'SO_REUSEPORT'),
      { ...plain, domain: 'IPv4', reuseport: true },
    ],
    ['one for IPv6 alone', () => withOption('IPv6', 'IPV6_V6ONLY'), { ...plain, domain: 'IPv6', v6only: true }],
  ])('%s', (_name, make, kind) => {
    expect(describeSocket(own(make()))).toEqual(kind);
  });

  test('is unknown for a file and for a number that is not open', () => {
    const file = openSync('/dev/null', 'r');
    expect(describeSocket(file)).toBeUndefined();
    closeSync(file);
    expect(describeSocket(99_999)).toBeUndefined();
  });

  function withOption(domain: SocketDomain, option: SocketOption): number {
    const fd = socket(domain);
    setOption(fd, option, 1);
    return fd;
  }
});

test('a half-closed connection still carries the other direction', () => {
  const { client, served } = connection(listener('IPv4'));
  shutdown(client, 'write');
  shutdown(served, 'both');
  expect(() => shutdown(served, 'both')).toThrow(/^shutdown\(\d+, both\) failed: .*ENOTCONN/);
});
