import { formatAddress } from '../address.ts';
import { acceptQueue } from '../kernel/backlog.ts';
import { dumpTcp } from '../kernel/sock-diag.ts';
import type { HeldListener, Holder } from './holder.ts';
import type { Running } from './running.ts';

const LOOK_MS = 1_000;

/**
 * Says it once when clients wait at a listener of `-p` for which the program never called listen(2), and nobody accepts:
 * a program that serves another port, or that knows no LISTEN_FDS, leaves them there for as long as relisten runs.
 */
export function watchUnusedPorts(running: Running, holder: Holder, say: (text: string) => void): void {
  const unused = new Set(
    holder.listeners.filter(({ pinned, afterMs, address }) => pinned && afterMs === undefined && 'port' in address),
  );
  const waited = new Set<HeldListener>();
  const look = () => {
    if (running.state !== 'ready') unused.clear(); // it has ended, or is ending: what it leaves is another's to serve
    for (const listener of unused) {
      if (listener.afterMs !== undefined || !holder.listeners.includes(listener)) unused.delete(listener);
      else if (!waitInVain(listener)) waited.delete(listener);
      else if (!waited.has(listener)) waited.add(listener);
      else {
        say(explain(listener, running, holder));
        unused.delete(listener);
      }
    }
    if (unused.size === 0) clearInterval(timer);
  };
  const timer = setInterval(look, LOOK_MS).unref();
}

/** A connection that nobody has accepted belongs to no inode yet; one that somebody has shows that it is only slow. */
function waitInVain({ fd, address }: HeldListener): boolean {
  if (!('port' in address) || acceptQueue(fd).waiting === 0) return false;
  return dumpTcp({ states: ['ESTABLISHED'], localPort: address.port }).every(({ inode }) => inode === 0);
}

function explain({ address }: HeldListener, { number }: Running, { listeners }: Holder): string {
  const others = listeners.filter(one => one.generations.has(number) && one.afterMs !== undefined);
  const shown = others.map(one => formatAddress(one.address)).join(', ');
  const instead = shown ? `generation ${number} listens on ${shown}` : `generation ${number} has not called listen(2)`;
  return `Clients wait on ${formatAddress(address)}, and nobody accepts them: ${instead}`;
}
