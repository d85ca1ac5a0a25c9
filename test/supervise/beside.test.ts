import { expect } from 'vitest';
import { hear } from '../../src/kernel/deaf.ts';
import { close, setNonblocking } from '../../src/kernel/fd.ts';
import { accept, bind, connect, getOption, setOption, socket } from '../../src/kernel/socket.ts';
import { bindBeside, listenBeside } from '../../src/supervise/beside.ts';
import { own } from '../fixtures/own.ts';
import { listener } from '../fixtures/tcp.ts';
import { needs } from '../tools.ts';

const addressOf = (host: string, port: number) =>
  ({ family: host.includes(':') ? 'IPv6' : 'IPv4', host, port }) as const;

function unbound(host: string): number {
  const fd = own(socket(addressOf(host, 0).family, { nonblocking: true }));
  setOption(fd, 'SO_REUSEADDR', 1);
  if (host.includes(':')) setOption(fd, 'IPV6_V6ONLY', 0);
  return fd;
}

/** Which of these listeners a client at that host gets to, by its place in the list. */
function whoGets(host: string, port: number, listeners: readonly number[]): number | undefined {
  const address = addressOf(host, port);
  const client = socket(address.family);
  try {
    connect(client, address);
    const index = listeners.findIndex(hasClient);
    return index === -1 ? undefined : index;
  } finally {
    close(client);
  }
}

function hasClient(fd: number): boolean {
  try {
    close(accept(fd));
    return true;
  } catch {
    return false;
  }
}

/** What is held, what is bound beside it, a client, and who gets it once both hear: 0 for what is held. */
const PAIRS: [held: string, beside: string, client: string, gets: number][] = [
  ['127.0.0.1', '0.0.0.0', '127.0.0.1', 0],
  ['127.0.0.1', '::', '127.0.0.1', 0],
  ['::1', '::', '::1', 0],
  ['0.0.0.0', '::', '127.0.0.1', 0],
  ['0.0.0.0', '127.0.0.1', '127.0.0.1', 1],
  ['::', '127.0.0.1', '127.0.0.1', 1],
  ['::', '0.0.0.0', '127.0.0.1', 1],
  ['::', '::1', '::1', 1],
];

for (const [host, other, client, gets] of PAIRS) {
  needs('linux', 'root').test(`${other} beside ${host} takes no client at ${client} from it until it hears`, () => {
    const { fd: held, port } = listener({ host, reuse: 'address' });
    setNonblocking(own(held), true);
    const beside = unbound(other);
    const address = addressOf(other, port);
    expect(() => bind(beside, address)).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }));
    bindBeside(beside, address, [held]);
    listenBeside(beside, 5, [held]);
    expect(whoGets(client, port, [held, beside])).toBe(0);
    hear(beside);
    expect(whoGets(client, port, [held, beside])).toBe(gets);
    expect([held, beside].map(fd => getOption(fd, 'SO_REUSEPORT'))).toEqual([0, 0]);
  });
}

needs('linux').test('somebody else in the way is not got past, and all options are as before', () => {
  const { fd: held, port } = listener({ reuse: 'address' });
  own(held);
  own(listener({ host: '127.0.0.2', port }).fd);
  const beside = unbound('0.0.0.0');
  expect(() => bindBeside(beside, addressOf('0.0.0.0', port), [held])).toThrow(
    expect.objectContaining({ code: 'EADDRINUSE' }),
  );
  expect([held, beside].map(fd => getOption(fd, 'SO_REUSEPORT'))).toEqual([0, 0]);
});
