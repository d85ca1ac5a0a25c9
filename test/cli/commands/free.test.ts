import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { close } from '../../../src/kernel/fd.ts';
import { bind, listen, localAddress, socket } from '../../../src/kernel/socket.ts';
import { holdPort } from '../../fixtures/hold-port.ts';
import { deadServer } from '../../fixtures/leftover.ts';
import { RELISTEN, relisten } from '../../fixtures/relisten.ts';
import { connection, listener } from '../../fixtures/tcp.ts';
import { needs } from '../../tools.ts';

const open: number[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) close(fd);
});

describe('relisten free', () => {
  it('asks who listens to stop, waits for it, and says so on stderr', async () => {
    const { port, child, exited } = await holdPort();
    const { code, stdout, stderr } = await relisten(['free', `127.0.0.1:${port}`]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toMatch(new RegExp(`^asked .*port-holder\\.js willing \\(pid ${child.pid}, .*\\) to stop\n`));
    expect(stderr).toMatch(new RegExp(`\n127\\.0\\.0\\.1:${port} is free\n$`));
    expect(await exited).toEqual([null, 'SIGTERM']);
  });

  it('has nothing to do at a free address', async () => {
    const { fd, port } = listener();
    close(fd);
    expect(await relisten(['free', `127.0.0.1:${port}`])).toEqual({
      code: 0,
      stdout: '',
      stderr: `127.0.0.1:${port} is free\n`,
    });
  });

  it('fails in time where it is not heard, and kills only with --force', async () => {
    const { port, child, exited } = await holdPort('stubborn');
    const address = `127.0.0.1:${port}`;
    const gentle = await relisten(['free', address, '--timeout', '300ms']);
    expect(gentle.code).toBe(1);
    expect(gentle.stderr).toMatch(new RegExp(`relisten: Cannot bind ${address}: in use by .* \\(pid ${child.pid}, `));
    expect(gentle.stderr).toContain(`relisten free ${address} --force`);
    expect(child.exitCode ?? child.signalCode).toBeNull();
    const forced = await relisten(['free', address, '--force', '--timeout', '100ms']);
    expect(forced.code).toBe(0);
    expect(forced.stderr).toMatch(/\nkilled .*port-holder\.js/);
    expect(await exited).toEqual([null, 'SIGKILL']);
  });

  it('refuses to stop what it runs under', async () => {
    const { fd, port } = listener();
    open.push(fd);
    const { code, stderr } = await relisten(['free', `127.0.0.1:${port}`, '--force']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^relisten: Cannot free 127\.0\.0\.1:\d+: this command runs under .*, which has it\n/);
    expect(stderr).not.toContain('relisten free');
  });

  it('removes the file that a dead server left, and no other', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'f-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'app.sock');
    const fd = socket('unix');
    bind(fd, { family: 'unix', path });
    listen(fd, 1);
    expect((await relisten(['free', path])).code).toBe(1);
    expect(existsSync(path)).toBe(true);
    close(fd);
    expect(await relisten(['free', path])).toMatchObject({
      code: 0,
      stderr: expect.stringContaining(`removed ${path}`),
    });
    expect(existsSync(path)).toBe(false);
  });

  it.each([['0'], ['70000'], ['x'], ['']])('answers 2 to %j', async address => {
    const { code, stderr } = await relisten(['free', address]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^relisten: Invalid (port|address): /);
  });
});

needs('root').describe('relisten free, as root', () => {
  it('removes what dead connections left at once', async () => {
    const { port } = deadServer('none', 3);
    const { code, stderr } = await relisten(['free', String(port)]);
    expect(code).toBe(0);
    expect((await relisten(['wait', String(port), '--reuse', 'none', '--timeout', '100ms'])).code).toBe(0);
    expect(stderr).toMatch(/ is free\n$/);
  });

  it('removes leftovers too that block only a server without SO_REUSEADDR', async () => {
    for (const [left, said] of [
      [3, '3 sockets of dead connections'],
      [1, '1 socket of a dead connection'],
    ] as const) {
      const { port } = deadServer('address', left);
      const { stderr } = await relisten(['free', `127.0.0.1:${port}`]);
      expect(stderr).toBe(`removed ${said}\n127.0.0.1:${port} is free\n`);
    }
  });
});

needs('script').describe('relisten free, on a terminal', () => {
  /** Runs it on a pseudo terminal of script(1), and types the answer when it asks. */
  async function answer(address: string, typed: string) {
    const command = `'${process.execPath}' '${RELISTEN}' free '${address}'`;
    const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    let shown = '';
    child.stdout.on('data', (part: Buffer) => {
      if (!shown.includes('[y/N]') && (shown + part).includes('[y/N]')) child.stdin.write(`${typed}\n`);
      shown += part;
    });
    const [code] = await once(child, 'exit');
    child.stdin.end();
    return { code, shown };
  }

  it('asks before it stops anybody', async () => {
    const { port, child, exited } = await holdPort();
    const no = await answer(`127.0.0.1:${port}`, 'n');
    expect(no.code).toBe(1);
    expect(no.shown).toMatch(/Stop .*port-holder\.js willing \(pid \d+, .*\)\? \[y\/N\]/s);
    const ctrlC = await answer(`127.0.0.1:${port}`, '\x03');
    expect(ctrlC.code).toBe(130);
    expect(ctrlC.shown).not.toContain('error');
    expect(child.exitCode ?? child.signalCode).toBeNull();
    const yes = await answer(`127.0.0.1:${port}`, 'y');
    expect(yes.code).toBe(0);
    expect(await exited).toEqual([null, 'SIGTERM']);
  });
});

it('leaves a client alone that was given the port', async () => {
  const listening = listener();
  open.push(listening.fd);
  const { client, server } = connection(listening);
  open.push(client, server);
  const { port } = localAddress(client) as { port: number };
  const { code, stderr } = await relisten(['free', `127.0.0.1:${port}`]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^relisten: Cannot free /);
});
