import { chmodSync } from 'node:fs';
import type { SocketAddress } from '../address.ts';
import { type BindOptions, type Bound, listenFd } from '../bind/bind-fd.ts';
import { codeOf } from '../kernel/errno.ts';
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
  /** As asked: port 0 is still 0. */
  address: SocketAddress;
}

/** What a kernel answers that has no IPv6, or has it switched off (ipv6(7), net.ipv6.conf.*.disable_ipv6). */
const NO_IPV6 = ['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL'];

/**
 * A new listener on the first of these addresses; on the next where there is no IPv6 and it is IPv4.
 *
 * @throws RelistenError of bindFd; nothing is left open then
 */
export async function openListener(addresses: readonly SocketAddress[], options: OpenOptions): Promise<Opened> {
  const [first, second] = addresses;
  if (!first) throw new TypeError('an address stands for one socket address at least');
  try {
    return await openOne(first, options);
  } catch (error) {
    const fallback = first.family === 'IPv6' && first.host === '::' && second?.family === 'IPv4' && !options.ipv6Only;
    if (!fallback || !NO_IPV6.includes(codeOf(error) ?? '')) throw error;
    return openOne(second, options);
  }
}

async function openOne(address: SocketAddress, options: OpenOptions): Promise<Opened> {
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
    return { ...(await listenFd(fd, address, { backlog, afterBind }, options)), fd, address };
  } catch (error) {
    close(fd);
    throw error;
  }
}
