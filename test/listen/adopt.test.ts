import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { close } from '../../src/kernel/fd.ts';
import { bind, listen, socket } from '../../src/kernel/socket.ts';
import type { ListenOptions } from '../../src/listen.ts';
import { connection, listener } from '../fixtures/tcp.ts';

const CHILD = fileURLToPath(new URL('../fixtures/listening-child.js', import.meta.url));

const fds: number[] = [];
const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const fd of fds.splice(0)) close(fd);
  for (const end of endings.splice(0)) await end();
});

function own(fd: number): number {
  fds.push(fd);
  return fd;
}

function live() {
  const { fd, port } = listener();
  return { fd: own(fd), port };
}

interface Outcome {
  address: { port: number };
  adopted: boolean;
  warnings: string[];
  known: unknown;
  code: string;
  message: string;
  listening: boolean;
}

/** A process that calls listen() with these options, and gets these descriptors from 3 on as sd_listen_fds(3) says. */
async function child(passed: number[], env: NodeJS.ProcessEnv, ...options: ListenOptions[]) {
  // No program can know its pid beforehand: a shell puts its own there and becomes the program.
  const command = '[ "$LISTEN_PID" ] || export LISTEN_PID=$$; exec "$@"';
  const args = ['-c', command, 'sh', process.execPath, CHILD, ...options.map(option => JSON.stringify(option))];
  const process_ = spawn('/bin/sh', args, {
    stdio: ['pipe', 'pipe', 'inherit', ...passed],
    env: { ...process.env, LISTEN_FDS: String(passed.length), ...env },
  });
  const exited = once(process_, 'exit');
  endings.push(() => {
    process_.stdin?.destroy();
    return exited;
  });
  const [line] = (await once(process_.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  const { outcomes, passedOn } = JSON.parse(line.toString()) as { outcomes: Outcome[]; passedOn: string };
  return { outcomes, passedOn, pid: process_.pid };
}

async function ask(port: number): Promise<number> {
  const parts = await connect(port, '127.0.0.1').setEncoding('utf8').toArray();
  return Number(parts.join(''));
}

describe('listen with LISTEN_FDS', () => {
  it('adopts the listener of its address, and passes the variables on to nobody', async () => {
    const { fd, port } = live();
    const { outcomes, passedOn, pid } = await child([fd], {}, { port, host: '127.0.0.1' });
    expect(outcomes).toMatchObject([
      { adopted: true, warnings: [], known: { address: '127.0.0.1', family: 'IPv4', port } },
    ]);
    expect(passedOn).toBe('unset');
    expect(await ask(port)).toBe(pid);
  });

  it('adopts by name, in any order', async () => {
    const [web, admin] = [live(), live()];
    const names = { LISTEN_FDNAMES: 'web:admin' };
    const { outcomes } = await child([web.fd, admin.fd], names, { name: 'admin' }, { name: 'web' });
    expect(outcomes).toMatchObject([
      { adopted: true, address: { port: admin.port } },
      { adopted: true, address: { port: web.port } },
    ]);
  });

  it('adopts each listener once', async () => {
    const { fd, port } = live();
    const { outcomes } = await child([fd], {}, {}, {}, { port, host: '127.0.0.1' });
    expect(outcomes).toMatchObject([{ adopted: true }, { code: 'ERR_INVALID_ARG_VALUE' }, { code: 'EADDRINUSE' }]);
  });

  it('binds what is not passed, and says what nobody has adopted', async () => {
    const { fd, port } = live();
    const { outcomes, passedOn } = await child([fd], {}, { port: 0, host: '127.0.0.1' });
    expect(outcomes).toMatchObject([
      {
        adopted: false,
        warnings: [`LISTEN_FDS passes 127.0.0.1:${port} (descriptor 3, unknown), which nobody has adopted yet`],
      },
    ]);
    expect(passedOn).toBe('1');
  });

  it('reports where an adopted listener is not as asked', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'a-'));
    const path = join(folder, 'app.sock');
    const fd = own(socket('unix'));
    bind(fd, { family: 'unix', path });
    listen(fd, 1);
    const { outcomes } = await child([fd], {}, { path, mode: 0o611 });
    rmSync(folder, { recursive: true });
    expect(outcomes).toMatchObject([
      { adopted: true, known: path, warnings: [expect.stringMatching(/and 611 was asked for$/)] },
    ]);
  });

  it('leaves alone what is meant for another process', async () => {
    const { fd, port } = live();
    const options = [{}, { port, host: '127.0.0.1' }, { port: 0 }];
    const { outcomes } = await child([fd], { LISTEN_PID: '1' }, ...options);
    expect(outcomes).toMatchObject([
      { code: 'ERR_INVALID_ARG_VALUE' },
      { code: 'EADDRINUSE' },
      { adopted: false, warnings: [] },
    ]);
  });
});

describe('listen with LISTEN_FDS that lies', () => {
  const cases: [string, () => number[], NodeJS.ProcessEnv, RegExp][] = [
    ['no number', () => [live().fd], { LISTEN_FDS: 'one' }, /LISTEN_FDS is "one", expected how many/],
    [
      'a descriptor that is closed',
      () => [live().fd],
      { LISTEN_FDS: '30' },
      /passes descriptor \d+ .*not open or not a/,
    ],
    ['a file', () => [own(openSync('/dev/null', 'r'))], {}, /passes descriptor 3 .*not open or not a socket/],
    [
      'a connection',
      () => [clientOf(live())],
      {},
      /passes descriptor 3 .*a connection or a socket that does not listen/,
    ],
  ];
  it.each(cases)('refuses %s', async (_name, passed, env, message) => {
    const { outcomes } = await child(passed(), env, { port: 0, host: '127.0.0.1' });
    expect(outcomes).toEqual([{ code: 'ERR_LISTEN_FDS', listening: false, message: expect.stringMatching(message) }]);
  });

  it('refuses a listener of the wanted port on another host', async () => {
    const { fd, port } = live();
    const { outcomes } = await child([fd], {}, { port, host: '127.0.0.2' });
    const message = `Cannot listen on 127.0.0.2:${port}: LISTEN_FDS passes 127.0.0.1:${port} (descriptor 3, unknown), expected 127.0.0.2:${port}`;
    expect(outcomes).toEqual([{ code: 'ERR_LISTEN_FDS', listening: false, message }]);
  });

  it('refuses a listener of the wanted name on another address', async () => {
    const { fd } = live();
    const { outcomes } = await child([fd], { LISTEN_FDNAMES: 'web' }, { port: 1, name: 'web' });
    expect(outcomes).toMatchObject([
      { code: 'ERR_LISTEN_FDS', message: expect.stringMatching(/descriptor 3, web\), expected 1$/) },
    ]);
  });
});

function clientOf(listening: { fd: number; port: number }): number {
  const { client, server } = connection(listening);
  own(server);
  return own(client);
}
