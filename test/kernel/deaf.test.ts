import { spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { expect } from 'vitest';
import { deafen, hear, hide } from '../../src/kernel/deaf.ts';
import { dumpTcp } from '../../src/kernel/sock-diag.ts';
import { accept, connect, getOption, setOption, socket } from '../../src/kernel/socket.ts';
import { own } from '../fixtures/own.ts';
import { listener } from '../fixtures/tcp.ts';
import { needs } from '../tools.ts';

const DEAF = new URL('../../dist/kernel/deaf.js', import.meta.url).href;
const { test } = needs('linux');
function reach(port: number): void {
  connect(own(socket('IPv4')), { family: 'IPv4', host: '127.0.0.1', port });
}

test('a listener that is hidden gets nobody any more, and keeps who waits in its queue', () => {
  const { fd, port } = listener();
  own(fd);
  reach(port);
  hide(fd);
  expect(() => reach(port)).toThrow(expect.objectContaining({ code: 'ECONNREFUSED' }));
  own(accept(fd));
});

needs('linux', 'root').test('a listener that is deaf is as if it was not there, until it hears', () => {
  const { fd, port } = listener();
  own(fd);
  deafen(fd);
  expect(() => reach(port)).toThrow(expect.objectContaining({ code: 'ECONNREFUSED' }));
  hear(fd);
  reach(port);
  own(accept(fd));
});

test('what was not made deaf hears, and keeps a limit of its own', () => {
  const { fd, port } = listener();
  own(fd);
  setOption(fd, 'IP_MINTTL', 2);
  hear(fd);
  expect(getOption(fd, 'IP_MINTTL')).toBe(2);
  reach(port);
  own(accept(fd));
});

for (const [who, args] of [
  ['an ordinary user', ['--reuid=65534', '--regid=65534', '--clear-groups']],
  ['root without CAP_NET_RAW', ['--bounding-set=-net_raw']],
] as const) {
  needs('linux', 'root', 'setpriv').test(`it is deaf, and hears again, for ${who}`, async () => {
    const { fd, port } = listener();
    own(fd);
    const act = (name: 'deafen' | 'hear') => {
      const script = `(await import(${JSON.stringify(DEAF)})).${name}(3)`;
      const command = [...args, process.execPath, '--input-type=module', '-e', script];
      const { status, stderr } = spawnSync('setpriv', command, { stdio: ['ignore', 'inherit', 'pipe', fd] });
      expect({ status, stderr: String(stderr) }).toEqual({ status: 0, stderr: '' });
    };
    act('deafen');
    const client = own(socket('IPv4', { nonblocking: true }));
    const attempt = () => connect(client, { family: 'IPv4', host: '127.0.0.1', port });
    expect(attempt).toThrow(expect.objectContaining({ errno: constants.errno.EINPROGRESS }));
    // On the loopback a handshake is over when connect(2) returns.
    const connections = () => dumpTcp({ localPort: port, states: ['ESTABLISHED'] }).length;
    expect(connections()).toBe(0);
    act('hear');
    await expect.poll(connections, { timeout: 5_000 }).toBe(1);
    own(accept(fd));
  });
}
