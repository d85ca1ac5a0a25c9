import { formatAddress, type SocketAddress } from '../address.ts';
import type { ReuseOptions } from '../inspection.ts';
import { attempt, type ThenListen } from './attempt.ts';
import type { Reuse } from './plan.ts';
import { type Waited, type WaitOptions, waitFor } from './wait.ts';

/** How to bind, how long to try, and whom to tell. */
export interface BindOptions extends WaitOptions {
  /** Which reuse options to set beside those that the socket has. @default 'auto' */
  reuse?: Reuse;
  /** What errors and `onWait` call the address. @default as the kernel has it */
  name?: string;
}

/** What it took. */
export interface Bound extends Waited {
  /** The option set that the bind succeeded with. */
  reuse: ReuseOptions;
}

/**
 * Binds a stream socket that has no name yet, however long it takes while success is possible: leftovers of dead
 * connections are waited for until the kernel's own timer has run out, or evicted; the file of a stale unix socket is
 * removed. A live process fails it at once, or is waited for if `interval` is given. The socket may be a duplicate of
 * another process's: only its reuse options and its name are touched.
 *
 * @param fd stays the caller's; when this fails, its options are as they were
 * @throws RelistenError with the errno's name as its code and the inspection as its report; `ABORT_ERR`
 */
export async function bindFd(fd: number, address: SocketAddress, options: BindOptions = {}): Promise<Bound> {
  const named = { op: 'bind', address: options.name ?? formatAddress(address) } as const;
  const trying = attempt(fd, address, options.reuse ?? 'auto');
  const waited = await waitFor(trying, named, options);
  return { ...waited, reuse: trying.reuse };
}

/** {@link bindFd}, then `listen(2)`, which may be refused where bind was not. */
export async function listenFd(
  fd: number,
  address: SocketAddress,
  then: ThenListen,
  options: BindOptions = {},
): Promise<Bound> {
  const named = { op: 'listen', address: options.name ?? formatAddress(address) } as const;
  const trying = attempt(fd, address, options.reuse ?? 'auto', then);
  const waited = await waitFor(trying, named, options);
  return { ...waited, reuse: trying.reuse };
}
