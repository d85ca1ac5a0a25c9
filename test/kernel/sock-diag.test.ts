import { randomBytes } from 'node:crypto';
import { fstatSync } from 'node:fs';
import { afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { SocketState } from '../../src/inspection.ts';
import { close } from '../../src/kernel/fd.ts';
import { readTcpTable } from '../../src/kernel/proc-net.ts';
import { DiagSocket, destroySocket, destroySockets, dumpTcp, hasSockDiag } from '../../src/kernel/sock-diag.ts';
import { shutdown } from '../../src/kernel/socket.ts';
import { inNetworkNamespace } from '../fixtures/netns.ts';
import { boundSocket, connection, leaveTimeWait, listener } from '../fixtures/tcp.ts';
import { needs } from '../tools.ts';

/** Where the kernel shows sockets that are bound and no more. */
const boundShown = needs('linux 6.8');
const open: number[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) close(fd);
});

function keep<T extends { fd: number }>(made: T): T {
  open.push(made.fd);
  return made;
}

// Where that is possible: other sockets of the host may have the same port on another address.
beforeAll(() => {
  inNetworkNamespace();
});

test('the kernel answers here', () => {
  expect(hasSockDiag()).toBe(true);
});

test('a dump of a port shows its listener, with inode and uid', () => {
  const { fd, port } = keep(listener());
  expect(dumpTcp({ localPort: port }).map(plain)).toEqual([
    {
      family: 'IPv4',
      state: 'LISTEN',
      local: { family: 'IPv4', host: '127.0.0.1', port },
      peer: undefined,
      inode: fstatSync(fd).ino,
      uid: process.getuid?.(),
      remainingMs: undefined,
      v6only: undefined,
    },
  ]);
});

test.each([true, false])('IPV6_V6ONLY of a listener is told: %s', v6only => {
  const { port } = keep(listener({ host: '::', v6only }));
  expect(dumpTcp({ localPort: port }).map(plain)).toEqual([expect.objectContaining({ state: 'LISTEN', v6only })]);
});

boundShown.test('a socket that is bound and no more is shown', () => {
  const { port } = keep(boundSocket());
  expect(dumpTcp({ localPort: port }).map(plain)).toEqual([
    expect.objectContaining({ state: 'CLOSE', local: { family: 'IPv4', host: '127.0.0.1', port }, peer: undefined }),
  ]);
});

test('an IPv4 client of a wildcard IPv6 listener is shown with mapped addresses', () => {
  const made = keep(listener({ host: '::' }));
  const { server, client } = connection(made);
  open.push(server, client);
  const [socket] = dumpTcp({ localPort: made.port }).filter(({ state }) => state === 'ESTABLISHED');
  expect(socket?.local).toEqual({ family: 'IPv6', host: '::ffff:127.0.0.1', port: made.port });
  expect(socket?.peer).toMatchObject({ family: 'IPv6', host: '::ffff:127.0.0.1' });
});

test('the ports narrow the dump to one end of one connection', () => {
  const made = keep(listener());
  const ends = connection(made);
  open.push(ends.server, ends.client);
  const [client] = dumpTcp({ peerPort: made.port });
  expect(client?.state).toBe('ESTABLISHED');
  const [server, ...none] = dumpTcp({ localPort: made.port, peerPort: client?.localPort });
  expect(server?.inode).toBe(fstatSync(ends.server).ino);
  expect(none).toEqual([]);
});

boundShown.test('the states narrow the dump', () => {
  const made = keep(listener());
  const ends = connection(made);
  open.push(ends.server, ends.client);
  const { port } = keep(boundSocket());
  const states = (localPort: number, ...wanted: SocketState[]) =>
    dumpTcp({ localPort, states: wanted }).map(({ state }) => state);
  expect(states(made.port, 'LISTEN')).toEqual(['LISTEN']);
  expect(states(made.port, 'ESTABLISHED')).toEqual(['ESTABLISHED']);
  expect(states(made.port, 'LISTEN', 'ESTABLISHED').sort()).toEqual(['ESTABLISHED', 'LISTEN']);
  expect(states(port, 'CLOSE')).toEqual(['CLOSE']);
  expect(states(port, 'LISTEN', 'ESTABLISHED', 'TIME_WAIT')).toEqual([]);
});

test('the states of closing are told apart, and those with a timer say how long they have', async () => {
  const made = keep(listener());
  const half = connection(made);
  shutdown(half.server, 'write');
  open.push(half.server, half.client);
  const orphan = connection(made);
  close(orphan.server);
  open.push(orphan.client);
  leaveTimeWait(made);
  const closing = () => dumpTcp({ localPort: made.port }).filter(({ state }) => state !== 'LISTEN');
  // The peer acknowledges a FIN up to 40 ms late (TCP_DELACK_MIN).
  await vi.waitFor(() => expect(closing().some(({ state }) => state === 'FIN_WAIT1')).toBe(false));
  const seen = closing();
  expect(seen.map(({ state, inode, remainingMs }) => [state, inode > 0, remainingMs === undefined]).sort()).toEqual([
    ['FIN_WAIT2', false, false],
    ['FIN_WAIT2', true, true],
    ['TIME_WAIT', false, false],
  ]);
  for (const { remainingMs } of seen.filter(socket => socket.inode === 0)) {
    expect(remainingMs).toBeGreaterThan(50_000);
    expect(remainingMs).toBeLessThanOrEqual(61_000);
  }
  const peers = dumpTcp({ peerPort: made.port }).map(({ state }) => state);
  expect(peers).toEqual(['CLOSE_WAIT', 'CLOSE_WAIT']);
});

test('/proc/net/tcp and the dump agree', () => {
  const made = keep(listener({ host: '::' }));
  const { server, client } = connection(made);
  open.push(server, client);
  leaveTimeWait(made);
  const comparable = (sockets: ReturnType<typeof readTcpTable>) =>
    sockets
      .map(socket => plain(socket))
      .map(({ remainingMs, v6only, ...rest }) => JSON.stringify({ ...rest, timed: remainingMs !== undefined }))
      .sort();
  expect(comparable(readTcpTable(made.port))).toEqual(comparable(dumpTcp({ localPort: made.port })));
});

const { describe, test: privileged } = needs('root', 'netns', 'ip');

describe('with the right to administer the network', () => {
  privileged('a TIME_WAIT is destroyed and gone, and destroying it again is no error', () => {
    const made = keep(listener());
    leaveTimeWait(made);
    const waiting = () => dumpTcp({ localPort: made.port }).filter(({ state }) => state === 'TIME_WAIT');
    const [first] = waiting();
    expect(first).toBeDefined();
    if (first) destroySocket(first);
    expect(waiting()).toEqual([]);
    expect(first && destroySockets([first])).toBe(0);
  });

  privileged('a thousand TIME_WAIT of both families go at once, and nothing else does', () => {
    const made = keep(listener({ host: '::' }));
    for (let i = 0; i < 500; i++) leaveTimeWait(made);
    for (let i = 0; i < 500; i++) leaveTimeWait(made, '::1');
    const all = dumpTcp({ localPort: made.port });
    expect(all).toHaveLength(1001);
    expect(destroySockets(all.filter(({ state }) => state === 'TIME_WAIT'))).toBe(1000);
    expect(dumpTcp({ localPort: made.port }).map(({ state }) => state)).toEqual(['LISTEN']);
  });
});

test('no payload makes a socket that cannot be read', () => {
  for (let round = 0; round < 5000; round++) {
    const payload = randomBytes(72 + Math.floor(Math.random() * 64));
    payload[0] = round % 2 === 0 ? 2 : 10;
    const socket = new DiagSocket(payload, 0, payload.length);
    expect(plain(socket).state).toMatch(/^[A-Z_12]+$/);
  }
});

/** Getters are not what toEqual compares. */
function plain({
  family,
  state,
  local,
  peer,
  inode,
  uid,
  remainingMs,
  v6only,
}: DiagSocket | ReturnType<typeof readTcpTable>[0]) {
  return { family, state, local, peer, inode, uid, remainingMs, v6only };
}
