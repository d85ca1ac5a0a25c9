import { ownersOf } from '../kernel/proc-fd.ts';
import { closedInQueue } from '../kernel/unix-diag.ts';
import type { HeldListener } from './holder.ts';

/**
 * A start while nobody serves. Some programs connect to the path of their unix socket first, and give up where another one of
 * them seems to serve there (php-fpm): the held socket takes the connection, although nobody has it but we, so that they
 * would never start again. They leave a connection in its queue that is closed already, and fail. From then on its name is
 * hidden whenever they start with nobody serving, until they bind it. Not before, as clients are refused meanwhile.
 */
export class FirstLook {
  readonly #hidden: HeldListener[];
  readonly #watched: HeldListener[];
  readonly #before: Map<number, number>;

  constructor(listeners: readonly HeldListener[]) {
    const withPath = listeners.filter(({ path }) => path !== undefined);
    const owners = ownersOf(new Set(withPath.filter(one => one.lookedAt).map(one => one.inode)), () => false);
    const isOurs = ({ inode }: HeldListener) => (owners.get(inode) ?? []).every(pid => pid === process.pid);
    this.#hidden = withPath.filter(one => one.lookedAt && isOurs(one));
    this.#watched = withPath.filter(one => !one.lookedAt);
    this.#before = this.#count();
    for (const { path } of this.#hidden) path?.hide();
  }

  /** It is over: what is hidden is shown again. */
  end(): void {
    for (const { path } of this.#hidden) path?.show();
  }

  /** Those that it has failed for, so it seems, and that are hidden from now on. */
  failed(): HeldListener[] {
    this.end();
    const now = this.#count();
    const lookedAt = this.#watched.filter(({ inode }) => (now.get(inode) ?? 0) > (this.#before.get(inode) ?? 0));
    for (const listener of lookedAt) listener.lookedAt = true;
    return lookedAt;
  }

  #count(): Map<number, number> {
    if (this.#watched.length === 0) return new Map();
    try {
      return closedInQueue();
    } catch {
      return new Map(); // a kernel without unix_diag does not tell
    }
  }
}
