import { chmodSync } from 'node:fs';
import type { SocketAddress } from '../address.ts';
import { type BindOptions, type Bound, listenFd } from '../bind/bind-fd.ts';
import { close } from '../kernel/fd.ts';
import { setOption, socket } from '../kernel/socket.ts';

/** What a listener of our own is to be like, beside how it is bound. */
export interface OpenOptions extends BindOptions {
  backlog: number;
  ipv6Only?: boolean;
  /** Permissions of a unix socket's file. */
  mode?: number;
}

/** A listener of our own. */
export interface Opened extends Bound {
  /** The caller's to close. */
  fd: number;
}

/**
 * A new listener.
 *
 * @throws RelistenError of bindFd; nothing is left open then
 */
export async function openListener(address: SocketAddress, options: OpenOptions): Promise<Opened> {
  const fd = socket(address.family);
  try {
    // As asked, and not as net.ipv6.bindv6only has it (ipv6(7)).
    if (address.family === 'IPv6') setOption(fd, 'IPV6_V6ONLY', options.ipv6Only ? 1 : 0);
    const { backlog, mode } = options;
    const afterBind = () => {
      if (address.family === 'unix' && mode !== undefined && !address.path.startsWith('\0')) {
        chmodSync(address.path, mode);
      }
    };
    return { ...(await listenFd(fd, address, { backlog, afterBind }, options)), fd };
  } catch (error) {
    close(fd);
    throw error;
  }
}
