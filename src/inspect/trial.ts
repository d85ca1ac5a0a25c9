import type { SocketAddress } from '../address.ts';
import type { BindTrial, ReuseOptions } from '../inspection.ts';
import { codeOf } from '../kernel/errno.ts';
import { close } from '../kernel/fd.ts';
import { bind, setOption, socket } from '../kernel/socket.ts';
import type { TcpAddress } from './facts.ts';

/** In the order in which a table shows them. */
export const REUSE_OPTIONS: readonly ReuseOptions[] = ['none', 'address', 'port', 'both'];

/** Sets the options on a socket that is not bound yet. */
export function setReuse(fd: number, reuse: ReuseOptions): void {
  if (reuse === 'address' || reuse === 'both') setOption(fd, 'SO_REUSEADDR', 1);
  if (reuse === 'port' || reuse === 'both') setOption(fd, 'SO_REUSEPORT', 1);
}

/**
 * Binds for real and closes at once, without listening: for that moment nobody else gets the address, and nobody can
 * connect.
 *
 * @returns the errno's name, `undefined` when it succeeded
 */
export function tryBind(address: SocketAddress, reuse: ReuseOptions, v6only = false): string | undefined {
  let fd: number;
  try {
    fd = socket(address.family);
  } catch (error) {
    return codeOf(error); // EAFNOSUPPORT: a kernel without IPv6
  }
  try {
    setReuse(fd, reuse);
    // As Node does; net.ipv6.bindv6only would decide otherwise (ipv6(7)).
    if (address.family === 'IPv6') setOption(fd, 'IPV6_V6ONLY', v6only ? 1 : 0);
    bind(fd, address);
    return undefined;
  } catch (error) {
    return codeOf(error);
  } finally {
    close(fd);
  }
}

/** Every reuse option for the target and for both wildcards. */
export function tryAll(target: TcpAddress): BindTrial[] {
  const { port } = target;
  const addresses: TcpAddress[] = [target];
  if (target.host !== '0.0.0.0') addresses.push({ family: 'IPv4', host: '0.0.0.0', port });
  if (target.host !== '::') addresses.push({ family: 'IPv6', host: '::', port });
  return addresses.flatMap(address =>
    REUSE_OPTIONS.map(reuse => {
      const code = tryBind(address, reuse);
      return code === undefined ? { host: address.host, reuse } : { host: address.host, reuse, code };
    }),
  );
}
