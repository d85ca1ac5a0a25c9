import { formatAddress, type SocketAddress } from '../address.ts';
import { errnoOf, failureOf, KernelError } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import { destroySockets } from '../kernel/sock-diag.ts';
import { socket } from '../kernel/socket.ts';
import type { Attempt } from './attempt.ts';
import { type BindOptions, bindFd } from './bind-fd.ts';
import { evictable, lookAround, lookAtPath } from './look.ts';
import { stateOfPath } from './stale-path.ts';
import { type Waited, waitFor } from './wait.ts';

/**
 * Resolves as soon as the address could be bound, having bound it for a moment: it never listens. A unix path is not
 * bound, as that would leave a file: it is free when nobody is behind it.
 *
 * @param address with a port that is not 0
 * @throws RelistenError as {@link bindFd}
 */
export async function untilFree(address: SocketAddress, options: BindOptions = {}): Promise<Waited> {
  if (address.family === 'unix' && !address.path.startsWith('\0')) {
    const named = { op: 'bind', address: options.name ?? formatAddress(address) } as const;
    return waitFor(pathAttempt(address.path), named, options);
  }
  const fd = socket(address.family);
  try {
    return await bindFd(fd, address, options);
  } finally {
    close(fd);
  }
}

/** Looks whether a bind(2) would succeed, or would once the stale file is removed. */
function pathAttempt(path: string): Attempt {
  return {
    run: () => {
      const state = stateOfPath(path);
      return state === 'gone' || state === 'stale' ? undefined : new KernelError('bind', errnoOf('EADDRINUSE'), path);
    },
    look: () => lookAtPath(path),
    reuse: 'none',
  };
}

/** What became of the sockets that dead connections left at an address. */
export interface Eviction {
  evicted: number;
  /** Those that stay, because their removal was refused. */
  left: number;
  failure?: KernelError;
}

/**
 * Destroys what dead connections left at the address, also what would be in nobody's way who sets SO_REUSEADDR. Needs
 * CAP_NET_ADMIN.
 */
export function evictLeftovers(address: SocketAddress): Eviction {
  if (address.family === 'unix') return { evicted: 0, left: 0 };
  const fd = socket(address.family);
  try {
    const sockets = evictable(lookAround(fd, address));
    let evicted = 0;
    const failure = failureOf(() => {
      if (sockets.length > 0) evicted = destroySockets(sockets);
    });
    return { evicted, left: failure ? sockets.length : 0, failure };
  } finally {
    close(fd);
  }
}
