import { type Address, formatAddress, type SocketAddress } from '../address.ts';
import { resolveAddress } from '../bind/resolve.ts';
import { invalidArgument } from '../errors.ts';
import { AMPLE_BACKLOG } from '../kernel/backlog.ts';
import { close } from '../kernel/fd.ts';
import { listen, setOption, shutdown, socket } from '../kernel/socket.ts';
import { inodeOf } from '../kernel/stat.ts';
import { adopt, checkListener, inheritedFds } from '../listen/inherited.ts';
import type { Binder } from './binder.ts';
import { type HeldListener, type Holder, keepPath } from './holder.ts';
import { bothFamiliesPort, type ListenerIdentity, listenerKey } from './match.ts';
import type { PortOption } from './options.ts';

/**
 * The one kernel address that `-p` means. A port alone is every address of both families where the system has IPv6
 * (`::` without IPV6_V6ONLY), as in Node, until a program binds one of them: {@link openOneFamily}.
 *
 * @throws RelistenError for a name that does not resolve
 */
export async function toSocketAddress(address: Address): Promise<SocketAddress> {
  try {
    return (await resolveAddress(address))[0];
  } catch (cause) {
    throw Object.assign(invalidArgument('host', formatAddress(address), 'a name that resolves'), { cause });
  }
}

/**
 * Opens a listener before anything is started, so that clients queue from the first moment, and holds it. It is
 * blocking, as a program finds its own socket that it has just made.
 *
 * @returns undefined where it is held already, by adoption
 * @throws RelistenError where it cannot be bound
 */
export async function holdPort(port: PortOption, holder: Holder, binder: Binder): Promise<HeldListener | undefined> {
  const address = await toSocketAddress(port.address);
  const identity = { address, v6only: false };
  if (holder.group(listenerKey(identity)).length > 0) return undefined;
  const options = { name: port.name, anyFamilyPort: bothFamiliesPort(identity) };
  const listener = await open(identity, binder, holder, options);
  keepPath(listener);
  return listener;
}

/**
 * Holds what relisten was passed itself, as a systemd socket unit does (sd_listen_fds(3)): with it, it is as if -p had named it.
 * No listener for one family can take its place, as whoever passed it goes on listening.
 *
 * @returns those that were not held already, by adoption
 * @throws RelistenError `ERR_LISTEN_FDS` where what was passed is no listener
 */
export function holdInherited(holder: Holder): HeldListener[] {
  return inheritedFds().flatMap(inherited => {
    const { fd, name } = inherited;
    const address = checkListener(inherited);
    adopt(inherited);
    const adopted = holder.byInode(inodeOf(fd));
    if (adopted) close(fd);
    const named = name === 'unknown' ? undefined : name;
    const listener = adopted ?? holder.hold(fd, { address, name: named, pinned: true });
    listener.inherited = true;
    keepPath(listener);
    return adopted ? [] : [listener];
  });
}

/**
 * A listener for one family, in place of the one for both, or beside the one for the other family.
 *
 * @param named what the user named: where it is for both families, nobody may have accepted from it. It is closed for all
 *   who have it, also as a passed descriptor, and who waits there is reset
 */
export async function openOneFamily(
  named: HeldListener,
  wanted: ListenerIdentity,
  holder: Holder,
  binder: Binder,
): Promise<HeldListener> {
  const { name, anyFamilyPort } = named;
  if (bothFamiliesPort(named) !== undefined) {
    shutdown(named.fd, 'both');
    holder.release(named);
  }
  return open(wanted, binder, holder, { name, anyFamilyPort });
}

async function open(
  { address, v6only }: ListenerIdentity,
  binder: Binder,
  holder: Holder,
  options: Pick<HeldListener, 'name' | 'anyFamilyPort'>,
): Promise<HeldListener> {
  const fd = socket(address.family);
  try {
    if (v6only) setOption(fd, 'IPV6_V6ONLY', 1);
    await binder.bindOwn(fd, address);
    listen(fd, AMPLE_BACKLOG);
  } catch (error) {
    close(fd);
    throw error;
  }
  return holder.hold(fd, { ...options, address, pinned: true });
}
