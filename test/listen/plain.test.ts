import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type Listening, type ListenOptions, listen } from '../../src/listen.ts';

vi.mock('../../src/kernel/libc.ts', async original => ({
  ...(await original<typeof import('../../src/kernel/libc.ts')>()),
  hasLibc: () => false,
}));

const open: Listening[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map(listening => listening.close()));
});

async function listenOn(options: ListenOptions | number) {
  const server = createServer();
  const listening = await listen(server, options);
  open.push(listening);
  return { listening, server };
}

function portOf({ address }: Listening): number {
  return address.family === 'unix' ? 0 : address.port;
}

describe('listen where the C library cannot be called', () => {
  it('leaves it to Node', async () => {
    const { listening, server } = await listenOn({ port: 0, host: '127.0.0.1' });
    expect(listening).toMatchObject({ address: { family: 'IPv4', host: '127.0.0.1' }, adopted: false, warnings: [] });
    expect(server.address()).toMatchObject({ port: portOf(listening) });
  });

  it('says what is not to be had', async () => {
    const { listening } = await listenOn({ port: 0, reuse: 'port', evict: true });
    expect(listening.warnings).toEqual([
      "reuse: 'port' is not to be had here: Node chose",
      'evict is not to be had here',
    ]);
  });

  it('says that it adopts nothing', async () => {
    vi.stubEnv('LISTEN_PID', String(process.pid));
    vi.stubEnv('LISTEN_FDS', '1');
    vi.stubEnv('LISTEN_FDNAMES', 'web');
    onTestFinished(() => void vi.unstubAllEnvs());
    const { listening } = await listenOn({ port: 0, host: '127.0.0.1' });
    expect(listening.warnings).toEqual(['Descriptor 3 (web) of LISTEN_FDS is left alone: it cannot be looked at here']);
  });

  it('fails at once where somebody listens, and says who', async () => {
    const { listening } = await listenOn({ port: 0, host: '127.0.0.1' });
    const port = portOf(listening);
    await expect(listen(createServer(), { port, host: '127.0.0.1' })).rejects.toMatchObject({
      name: 'RelistenError',
      code: 'EADDRINUSE',
      op: 'listen',
      address: `127.0.0.1:${port}`,
    });
  });

  it('tries again as long as asked', async () => {
    const { listening } = await listenOn({ port: 0, host: '127.0.0.1' });
    const address = { port: portOf(listening), host: '127.0.0.1' };
    const failed = listen(createServer(), { ...address, retry: { interval: 5, deadline: 50 } });
    await expect(failed).rejects.toMatchObject({ code: 'EADDRINUSE' });
    const second = listenOn({ ...address, retry: { interval: 5 } });
    await listening.close();
    expect(portOf((await second).listening)).toBe(address.port);
  });

  it('stops trying when its signal is aborted', async () => {
    const { listening } = await listenOn({ port: 0, host: '127.0.0.1' });
    const address = { port: portOf(listening), host: '127.0.0.1' };
    const failed = listen(createServer(), { ...address, retry: true, signal: AbortSignal.timeout(30) });
    await expect(failed).rejects.toMatchObject({ name: 'RelistenError', code: 'ABORT_ERR' });
  });

  it('sets the mode of a unix socket', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'p-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'app.sock');
    const { listening } = await listenOn({ path, mode: 0o640 });
    expect(listening.address).toEqual({ family: 'unix', path });
    expect(statSync(path).mode & 0o777).toBe(0o640);
  });
});
