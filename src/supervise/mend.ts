import { formatAddress } from '../address.ts';
import { AMPLE_BACKLOG } from '../kernel/backlog.ts';
import { disconnect, getOption, listen } from '../kernel/socket.ts';
import type { HeldListener, Holder } from './holder.ts';

/**
 * Has held TCP listeners listen again that a program has ended for all who have them: by shutdown(2) where that is not
 * intercepted, or by connect(2) to no address, as .NET interrupts an accept(2). A unix socket cannot listen again.
 *
 * @param say is told of each, in a sentence
 */
export function mendListeners(holder: Holder, say: (text: string) => void): void {
  for (const listener of [...holder.listeners]) {
    if (listener.address.family === 'unix' || getOption(listener.fd, 'SO_ACCEPTCONN') === 1) continue;
    const shown = formatAddress(listener.address);
    try {
      mend(listener);
      say(`A program has shut down ${shown} for all who have it: it listens again, clients were refused for a moment`);
    } catch (error) {
      holder.release(listener);
      say(
        `A program has shut down ${shown} for all who have it: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
}

function mend({ fd }: HeldListener): void {
  // Else every connection would come shut down (net/ipv4/tcp.c, tcp_disconnect).
  disconnect(fd);
  // The program's next listen(2) sets its own again.
  listen(fd, AMPLE_BACKLOG);
}
