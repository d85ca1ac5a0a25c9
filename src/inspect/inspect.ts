import type { Address } from '../address.ts';
import type { Inspection } from '../inspection.ts';

/** How to inspect. */
export interface InspectOptions {
  /**
   * The program whose earlier runs are called orphans: an orphaned process of the same user with the same command line, or
   * in the same folder.
   *
   * @default this process
   */
  program?: { argv: readonly string[]; cwd: string };
  /**
   * Look for the owners of a socket among all processes. Otherwise the search ends with the first and its relatives, which
   * misses only processes that were handed the socket by strangers (SCM_RIGHTS).
   *
   * @default false
   */
  everyOwner?: boolean;
}

/**
 * Looks at what is in the way of listening on an address, and tries what a bind would do there now: it binds and closes,
 * never listens, for no option, SO_REUSEADDR, SO_REUSEPORT and both, on the address asked and on the wildcards.
 *
 * A host name stands for its first address, as in `server.listen()`. Without root, other users' processes cannot be named;
 * `unseen` says what else could not be seen or tried.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE` for an address that nobody can use, `ENOTFOUND` for a name that does not
 *   resolve
 */
export async function inspect(address: string | number | Address, options: InspectOptions = {}): Promise<Inspection> {
  const { examine } = await import('./examine.ts');
  return examine(address, options);
}
