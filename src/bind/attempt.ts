import type { SocketAddress } from '../address.ts';
import type { ReuseOptions } from '../inspection.ts';
import { failureOf, KernelError } from '../kernel/errno.ts';
import { bind, getOption, listen, type SocketOption, setOption } from '../kernel/socket.ts';
import { type Look, lookAround, lookAtPath } from './look.ts';
import { planBind, type Reuse } from './plan.ts';
import { removeStalePath } from './stale-path.ts';

/** What is to be done with one socket, again and again until it succeeds. */
export interface Attempt {
  /**
   * Tries once.
   *
   * @param look what stands there at this moment, for the steps of the plan that need to know
   * @returns the failure, or undefined
   */
  run(look?: Look): KernelError | undefined;
  /** Looks for what is in the way. */
  look(): Look;
  /** The option set that the bind succeeded with. */
  readonly reuse: ReuseOptions;
}

/** What comes after a bind that succeeded, for sockets that are to listen. */
export interface ThenListen {
  backlog: number;
  /** Between bind and listen, when nobody can connect yet; what it throws ends the attempt. */
  afterBind?: () => void;
}

const OPTIONS: Record<ReuseOptions, readonly SocketOption[]> = {
  none: [],
  address: ['SO_REUSEADDR'],
  port: ['SO_REUSEPORT'],
  both: ['SO_REUSEADDR', 'SO_REUSEPORT'],
};

/**
 * `bind(2)` of a socket that has no name yet, by plan, and `listen(2)` if asked. When it fails, the options are as they
 * were. Of two sockets that are both bound with SO_REUSEADDR the second is refused only when it listens: it keeps its
 * name and tries that again.
 */
export function attempt(fd: number, address: SocketAddress, asked: Reuse, then?: ThenListen): Attempt {
  let bound: ReuseOptions | undefined;
  return {
    run(look) {
      if (bound === undefined) {
        const outcome = address.family === 'unix' ? bindPath(fd, address) : bindByPlan(fd, address, asked, look);
        if (outcome instanceof KernelError) return outcome;
        bound = outcome;
        then?.afterBind?.();
      }
      return then && failureOf(() => listen(fd, then.backlog));
    },
    look: () => (address.family === 'unix' ? lookAtPath(address.path) : lookAround(fd, address)),
    get reuse() {
      return bound ?? 'none';
    },
  };
}

function bindByPlan(fd: number, address: SocketAddress, asked: Reuse, look?: Look): KernelError | ReuseOptions {
  let failure: KernelError | undefined;
  for (const { reuse, unlessListening } of planBind(asked)) {
    if (unlessListening && look?.listening !== false) continue;
    failure = bindWith(fd, address, reuse);
    if (!failure) return reuse;
    if (failure.code !== 'EADDRINUSE') break;
  }
  return failure ?? 'none';
}

function bindWith(fd: number, address: SocketAddress, reuse: ReuseOptions): KernelError | undefined {
  const unset = OPTIONS[reuse].filter(option => getOption(fd, option) === 0);
  for (const option of unset) setOption(fd, option, 1);
  const failure = failureOf(() => bind(fd, address));
  if (failure) for (const option of unset) setOption(fd, option, 0);
  return failure;
}

/** The reuse options mean nothing to unix sockets: what blocks is a file, and only a stale one may go. */
function bindPath(fd: number, address: SocketAddress & { family: 'unix' }): KernelError | ReuseOptions {
  const failure = failureOf(() => bind(fd, address));
  if (!failure) return 'none';
  if (failure.code !== 'EADDRINUSE' || !removeStalePath(address.path)) return failure;
  return failureOf(() => bind(fd, address)) ?? 'none';
}
