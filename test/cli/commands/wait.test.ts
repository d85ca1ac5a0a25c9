import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { close } from '../../../src/kernel/fd.ts';
import { bind, listen as listenOn, socket } from '../../../src/kernel/socket.ts';
import { listen } from '../../../src/listen.ts';
import { holdPort } from '../../fixtures/hold-port.ts';
import { deadServer, leaveFinWait2 } from '../../fixtures/leftover.ts';
import { relisten, startRelisten } from '../../fixtures/relisten.ts';
import { boundSocket, listener } from '../../fixtures/tcp.ts';

const open: number[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) close(fd);
});

function freePort(): number {
  const { fd, port } = boundSocket();
  close(fd);
  return port;
}

describe('relisten wait --until free', () => {
  it('answers at once where nothing is in the way, and says nothing', async () => {
    expect(await relisten(['wait', `127.0.0.1:${freePort()}`])).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('waits until the kernel has removed what a dead server left, and says until when', async () => {
    const { address, release } = leaveFinWait2(2);
    onTestFinished(release);
    const { code, stderr } = await relisten(['wait', `127.0.0.1:${address.port}`]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^127\.0\.0\.1:\d+ is kept by 1 FIN_WAIT2 socket until \d\d:\d\d:\d\d \(\d s\)\n$/);
  });

  it('waits until who listens has gone', async () => {
    const { child, port } = await holdPort();
    const waiting = startRelisten(['wait', `127.0.0.1:${port}`]);
    await waiting.said(/ is in use by .*port-holder\.js/);
    child.kill();
    expect((await waiting.outcome).code).toBe(0);
  });

  it('gives up in time, and says who it is', async () => {
    const { fd, port } = listener();
    open.push(fd);
    const { code, stderr } = await relisten(['wait', `127.0.0.1:${port}`, '--timeout', '100ms']);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      new RegExp(`relisten: Cannot bind 127\\.0\\.0\\.1:${port}: in use by .*\\(pid ${process.pid}, `),
    );
  });

  it('says that the host does not have the address', async () => {
    const { code, stderr } = await relisten(['wait', '198.51.100.1:80', '--timeout', '300ms']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^198\.51\.100\.1:80 is no address of this host yet\nrelisten: Cannot bind /);
    expect(stderr).toMatch(/^relisten: Cannot bind 198\.51\.100\.1:80: this host has no address 198\.51\.100\.1$/m);
  });

  it('gives up at once on leftovers that stay beyond the timeout', async () => {
    const { code, stderr } = await relisten(['wait', String(deadServer().port), '--timeout', '5s']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^relisten: Cannot bind \d+: blocked for \d+ s more, .*TIME_WAIT/);
  });

  it('tells a server that sets SO_REUSEADDR from one that does not', async () => {
    const { port } = deadServer('address');
    expect((await relisten(['wait', `127.0.0.1:${port}`, '--timeout', '1s'])).code).toBe(0);
    expect((await relisten(['wait', `127.0.0.1:${port}`, '--timeout', '1s', '--reuse', 'none'])).code).toBe(1);
  });
});

describe('relisten wait for a unix path', () => {
  it('takes a file that nobody has any more for free, and leaves it there', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'w-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'app.sock');
    const fd = socket('unix');
    bind(fd, { family: 'unix', path });
    listenOn(fd, 1);
    expect((await relisten(['wait', path, '--until', 'listening'])).code).toBe(0);
    const waiting = startRelisten(['wait', path]);
    await waiting.said(/^.*app\.sock is in use by /);
    close(fd);
    expect((await waiting.outcome).code).toBe(0);
    expect(existsSync(path)).toBe(true);
  });
});

describe('relisten wait --until listening', () => {
  it('answers at once where somebody listens', async () => {
    const { port } = await holdPort();
    const args = ['wait', `127.0.0.1:${port}`, '--until', 'listening'];
    expect(await relisten(args)).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('waits until somebody listens', async () => {
    const port = freePort();
    const waiting = startRelisten(['wait', `127.0.0.1:${port}`, '--until', 'listening']);
    await waiting.said(new RegExp(`^nobody listens on 127\\.0\\.0\\.1:${port} yet\n`));
    const listening = await listen(
      createServer(socket => socket.on('error', () => undefined).end()),
      { port, host: '127.0.0.1' },
    );
    onTestFinished(() => listening.close());
    expect((await waiting.outcome).code).toBe(0);
  });

  it.each([
    ['a..b:80', /^the name a\.\.b does not resolve \(ENOTFOUND\)$/],
    ['/etc/passwd/no.sock', /^not a directory \(ENOTDIR\)$/],
  ])('says why it is not to be had where that is another reason: %s', async (address, why) => {
    const { code, stderr } = await relisten(['wait', address, '--until', 'listening', '--timeout', '300ms']);
    expect(code).toBe(1);
    expect(
      stderr
        .split('\n')
        .at(-2)
        ?.split(/ after 300 ms: /),
    ).toEqual([`relisten: Nobody listens on ${address}`, expect.stringMatching(why)]);
  });

  it('gives up in time', async () => {
    const port = freePort();
    const args = ['wait', `127.0.0.1:${port}`, '--until', 'listening', '--timeout', '1s'];
    const { code, stderr } = await relisten(args);
    expect(code).toBe(1);
    expect(stderr).toContain(`relisten: Nobody listens on 127.0.0.1:${port} after 1.0 s\n`);
  });
});

it.each([
  [['0']],
  [['70000']],
  [['[::1:80']],
  [['3000', '--until', 'done']],
  [['3000', '--timeout', 'soon']],
  [['3000', '--reuse', 'all']],
  [[]],
])('relisten wait answers 2 to %j', async args => {
  const { code, stdout, stderr } = await relisten(['wait', ...args]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^relisten: /);
});
