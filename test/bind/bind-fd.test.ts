import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import type { SocketAddress } from '../../src/address.ts';
import { bindFd, listenFd } from '../../src/bind/bind-fd.ts';
import type { Waiting } from '../../src/bind/waiting.ts';
import { RelistenError } from '../../src/errors.ts';
import type { Inspection } from '../../src/inspection.ts';
import { close } from '../../src/kernel/fd.ts';
import { bind, connect, getOption, listen, localAddress, setOption, socket } from '../../src/kernel/socket.ts';
import { deadServer, leaveFinWait2, loopback } from '../fixtures/leftover.ts';
import { listener, type Reuse } from '../fixtures/tcp.ts';
import { needs } from '../tools.ts';

const open = new Set<number>();
afterEach(() => {
  for (const fd of open) close(fd);
  open.clear();
});

function own(fd: number): number {
  open.add(fd);
  return fd;
}

function release(fd: number): void {
  open.delete(fd);
  close(fd);
}

/** A listener that is there for the whole test, unless it is released before. */
function liveListener(reuse: Reuse = 'none') {
  const { fd, port } = listener({ reuse });
  return { fd: own(fd), address: loopback(port) };
}

const fresh = () => own(socket('IPv4'));

async function failure(promise: Promise<unknown>): Promise<RelistenError> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (error instanceof RelistenError) return error;
  throw new Error('expected a RelistenError', { cause: error });
}

describe('bindFd', () => {
  it('binds a free address at once, with SO_REUSEADDR', async () => {
    const fd = fresh();
    const bound = await bindFd(fd, { family: 'IPv4', host: '127.0.0.1', port: 0 });
    expect(bound).toMatchObject({ reuse: 'address', evicted: 0, warnings: [] });
    expect(localAddress(fd)).toMatchObject({ host: '127.0.0.1', port: expect.any(Number) });
  });

  it('passes TIME_WAIT of a server that had set SO_REUSEADDR', async () => {
    expect(await bindFd(fresh(), deadServer('address'))).toMatchObject({ reuse: 'address' });
  });

  it('passes TIME_WAIT of a server that had set only SO_REUSEPORT', async () => {
    expect(await bindFd(fresh(), deadServer('port'))).toMatchObject({ reuse: 'both' });
  });

  it('does not join the SO_REUSEPORT group of a live listener', async () => {
    const live = liveListener('both');
    expect(await failure(bindFd(fresh(), live.address))).toMatchObject({ code: 'EADDRINUSE' });
    expect(await bindFd(fresh(), live.address, { reuse: 'port' })).toMatchObject({ reuse: 'port' });
  });

  it.each(['none', 'address', 'port', 'both', 'auto'] as const)('sets what %s says and nothing else', async reuse => {
    const fd = fresh();
    await bindFd(fd, { family: 'IPv4', host: '127.0.0.1', port: 0 }, { reuse });
    expect([getOption(fd, 'SO_REUSEADDR'), getOption(fd, 'SO_REUSEPORT')]).toEqual([
      reuse === 'none' || reuse === 'port' ? 0 : 1,
      reuse === 'port' || reuse === 'both' ? 1 : 0,
    ]);
  });

  it('waits until the kernel has removed a leftover, and says until when', async () => {
    const leftover = leaveFinWait2(1);
    onTestFinished(leftover.release);
    const told: Waiting[] = [];
    const started = Date.now();
    const bound = await bindFd(fresh(), leftover.address, { onWait: waiting => told.push(waiting) });
    expect(bound.waited).toBeGreaterThan(800);
    expect(bound.waited).toBeLessThan(2_500);
    expect(told).toHaveLength(1);
    const [waiting] = told;
    expect(waiting).toMatchObject({ why: 'timers', sockets: { FIN_WAIT2: 1 } });
    expect(waiting?.message).toMatch(/^127\.0\.0\.1:\d+ is kept by 1 FIN_WAIT2 socket until \d\d:\d\d:\d\d \(1 s\)$/);
    expect((waiting?.until ?? 0) - started).toBeGreaterThan(800);
    expect((waiting?.until ?? 0) - started).toBeLessThan(1_200);
  });

  it('gives up at once on a leftover that stays beyond the deadline', async () => {
    const fd = fresh();
    const address = deadServer();
    const started = performance.now();
    const error = await failure(bindFd(fd, address, { deadline: 5_000 }));
    expect(error).toMatchObject({ code: 'EADDRINUSE', op: 'bind', address: `127.0.0.1:${address.port}` });
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(getOption(fd, 'SO_REUSEADDR')).toBe(0);
  });

  it('fails at once when a live process listens, with the inspection as its report', async () => {
    const live = liveListener();
    const report = { summary: 'somebody has it', listeners: [], blockers: [] } as unknown as Inspection;
    const asked: string[] = [];
    const explain = async (address: string) => {
      asked.push(address);
      return report;
    };
    const error = await failure(bindFd(fresh(), live.address, { explain }));
    const name = `127.0.0.1:${live.address.port}`;
    expect(error).toMatchObject({ code: 'EADDRINUSE', report, message: `Cannot bind ${name}: somebody has it` });
    expect(error.cause).toMatchObject({ op: 'bind', errno: 98 });
    expect(asked).toEqual([name]);
  });

  it('fails at once when a live process has connections there, and no listener', async () => {
    const server = liveListener();
    const client = fresh();
    connect(client, server.address);
    const address = localAddress(client) as SocketAddress;
    expect(await failure(bindFd(fresh(), address))).toMatchObject({ code: 'EADDRINUSE' });
  });

  it('waits for a live process if asked, and takes the address as soon as it is free', async () => {
    const live = liveListener('address');
    const told: Waiting[] = [];
    let freed = 0;
    const bound = await bindFd(fresh(), live.address, {
      interval: 5,
      onWait: waiting => {
        told.push(waiting);
        setImmediate(() => {
          release(live.fd);
          freed = performance.now();
        });
      },
    });
    expect(performance.now() - freed).toBeLessThan(200);
    expect(bound.reuse).toBe('address');
    expect(told).toMatchObject([{ why: 'live', message: `127.0.0.1:${live.address.port} is in use` }]);
  });

  it('gives up on a live process at the deadline', async () => {
    const live = liveListener();
    const started = performance.now();
    const error = await failure(bindFd(fresh(), live.address, { interval: 5, deadline: 60 }));
    expect(error.code).toBe('EADDRINUSE');
    expect(performance.now() - started).toBeGreaterThanOrEqual(59);
  });

  it('ends the wait when its signal is aborted', async () => {
    const controller = new AbortController();
    const promise = bindFd(fresh(), deadServer(), {
      signal: controller.signal,
      onWait: () => controller.abort(new Error('enough')),
    });
    const error = await failure(promise);
    expect(error).toMatchObject({ code: 'ABORT_ERR', message: expect.stringMatching(/^Cannot bind .*: aborted$/) });
    expect(error.cause).toMatchObject({ message: 'enough' });
  });

  it.each<[SocketAddress, string]>([
    [{ family: 'IPv4', host: '192.0.2.1', port: 0 }, 'EADDRNOTAVAIL'],
    [{ family: 'IPv6', host: '::1', port: 0 }, 'EAFNOSUPPORT'],
  ])('fails at once where waiting is no use: %j', async (address, code) => {
    expect(await failure(bindFd(fresh(), address))).toMatchObject({ code });
  });
});

needs('root').describe('bindFd with evict', () => {
  it('removes TIME_WAIT sockets instead of waiting for them', async () => {
    const bound = await bindFd(fresh(), deadServer('none', 5), { evict: true });
    expect(bound).toMatchObject({ reuse: 'address', evicted: 5, warnings: [] });
    expect(bound.waited).toBeLessThan(1_000);
  });

  it('leaves the sockets of live processes alone', async () => {
    const live = liveListener();
    expect(await failure(bindFd(fresh(), live.address, { evict: true }))).toMatchObject({ code: 'EADDRINUSE' });
    expect(getOption(live.fd, 'SO_ACCEPTCONN')).toBe(1);
  });
});

describe('listenFd', () => {
  it('is refused where another socket of the same address came to listen after the bind', async () => {
    const [first, second] = [fresh(), fresh()];
    setOption(first, 'SO_REUSEADDR', 1);
    bind(first, { family: 'IPv4', host: '127.0.0.1', port: 0 });
    const address = localAddress(first) as SocketAddress;
    const error = await failure(listenFd(second, address, { backlog: 1, afterBind: () => listen(first, 1) }));
    expect(error).toMatchObject({ code: 'EADDRINUSE', op: 'listen' });
  });

  it('listens after the wait', async () => {
    const fd = fresh();
    await listenFd(fd, deadServer('address'), { backlog: 16 });
    expect(getOption(fd, 'SO_ACCEPTCONN')).toBe(1);
  });
});
