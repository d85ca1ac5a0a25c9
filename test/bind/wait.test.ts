import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Attempt } from '../../src/bind/attempt.ts';
import { sight } from '../../src/bind/look.ts';
import { waitFor } from '../../src/bind/wait.ts';
import { KernelError } from '../../src/kernel/errno.ts';
import type { DiagSocket } from '../../src/kernel/sock-diag.ts';

const destroy = vi.hoisted(() => vi.fn<(sockets: readonly DiagSocket[]) => number>());
vi.mock('../../src/kernel/sock-diag.ts', async original => ({
  ...(await original<typeof import('../../src/kernel/sock-diag.ts')>()),
  destroySockets: destroy,
}));
afterEach(() => destroy.mockReset());

const [EADDRINUSE, EPERM] = [98, 1];
const named = { op: 'bind', address: '80' } as const;

/** A socket that is there for so many milliseconds. */
interface Fake {
  state?: DiagSocket['state'];
  inode?: number;
  for: number;
}

/**
 * An attempt that fails while there are sockets; when the last of a batch is gone, the next batch takes its place at once.
 * The mock of destroySockets removes what is there.
 */
function blockedBy(...batches: Fake[][]): Attempt & { runs: number; looks: number } {
  let there: { until: number; socket: Omit<DiagSocket, 'remainingMs'> }[] = [];
  const advance = () => {
    there = there.filter(({ until }) => performance.now() < until);
    if (there.length > 0) return;
    there = (batches.shift() ?? []).map(({ state = 'TIME_WAIT', inode = 0, for: ms }) => ({
      until: performance.now() + ms,
      socket: { state, inode, uid: 0, id: Buffer.alloc(48) } as unknown as DiagSocket,
    }));
  };
  destroy.mockImplementation(sockets => {
    there = [];
    return sockets.length;
  });
  return {
    runs: 0,
    looks: 0,
    reuse: 'address',
    run() {
      this.runs++;
      advance();
      return there.length > 0 ? new KernelError('bind', EADDRINUSE, '3, 80') : undefined;
    },
    look() {
      this.looks++;
      advance();
      const now = performance.now();
      const sockets = there.map(({ socket, until }) => ({
        ...socket,
        remainingMs: socket.inode ? undefined : until - now,
      }));
      return sight(sockets as unknown as DiagSocket[], now);
    },
  };
}

describe('waitFor', () => {
  it('evicts again where something has come since, and tries at once', async () => {
    const attempt = blockedBy([{ for: 60_000 }, { for: 60_000 }], [{ for: 60_000 }]);
    const { waited, evicted, warnings } = await waitFor(attempt, named, { evict: true });
    expect({ evicted, warnings }).toEqual({ evicted: 3, warnings: [] });
    expect(waited).toBeLessThan(1_000);
  });

  it('waits for what it may not evict, says so, and does not ask again', async () => {
    const attempt = blockedBy([{ for: 30 }], [{ for: 20 }]);
    destroy.mockImplementation(() => {
      throw new KernelError('netlink', EPERM, 'SOCK_DESTROY');
    });
    const { waited, evicted, warnings } = await waitFor(attempt, named, { evict: true });
    expect(waited).toBeGreaterThanOrEqual(49);
    expect(evicted).toBe(0);
    expect(warnings).toEqual([
      'Cannot evict 1 sockets, waiting for them instead: netlink(SOCK_DESTROY) failed: operation not permitted (EPERM)',
    ]);
    expect(destroy).toHaveBeenCalledTimes(1);
  });

  it('never evicts what a process has', async () => {
    const attempt = blockedBy([{ state: 'LISTEN', inode: 7, for: 60_000 }]);
    await expect(waitFor(attempt, named, { evict: true })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect(destroy).not.toHaveBeenCalled();
  });

  it('sleeps until the timer has run out, and does not try before', async () => {
    const attempt = blockedBy([{ for: 300 }]);
    await waitFor(attempt, named, {});
    // Before and after the look in the beginning, and at the end; a few more where a timer of Node is a little early. To
    // try every few milliseconds, as for what has no timer, would be a hundred.
    expect(attempt.runs).toBeLessThanOrEqual(10);
    expect(attempt.looks).toBeLessThanOrEqual(8);
  });

  it('tells what it waits for when that changes, and not while it stays', async () => {
    const told: string[] = [];
    const attempt = blockedBy([{ state: 'LISTEN', inode: 7, for: 400 }], [{ for: 400 }]);
    await waitFor(attempt, named, { interval: 5, onWait: ({ message }) => told.push(message) });
    expect(told).toEqual([
      '80 is in use',
      expect.stringMatching(/^80 is kept by 1 TIME_WAIT socket until .* \(1 s\)$/),
    ]);
  });
});
