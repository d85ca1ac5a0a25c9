import { formatAddress, type SocketAddress } from '../address.ts';
import { overlaps } from '../bind/overlap.ts';

/** What tells listeners apart: family, address, port, where it is and, for IPv6, whether it also serves IPv4. */
export interface ListenerIdentity {
  address: SocketAddress;
  v6only: boolean;
  /** The network namespace it is in, where that is not ours (network_namespaces(7)). */
  netns?: string;
}

/**
 * The same text for the same listener; a SO_REUSEPORT group shares it. IPV6_V6ONLY counts for `::` alone: with any other
 * address the kernel sets it in bind(2) (net/ipv6/af_inet6.c, `__inet6_bind`), so that a held socket has it and one that is
 * about to be bound has not.
 */
export function listenerKey({ address, v6only, netns }: ListenerIdentity): string {
  const only = v6only && address.family === 'IPv6' && address.host === '::';
  return `${address.family} ${formatAddress(address)}${only ? ' v6only' : ''}${netns ? ` ${netns}` : ''}`;
}

/** Whether the kernel would keep one of them from its address, where the other has its own; not said of the very same. */
export function collide(one: ListenerIdentity, other: ListenerIdentity): boolean {
  return one.netns === other.netns && listenerKey(one) !== listenerKey(other) && overlaps(one, other);
}

/** A held listener in a program's reach when it binds the same key again. */
export interface Slot {
  /** A process of the binding generation has the listener open. */
  taken: boolean;
}

/**
 * What becomes of a bind whose key is held, in the order of the group:
 *
 * | slots                     | the program's socket  | answer                                              |
 * |---------------------------|-----------------------|-----------------------------------------------------|
 * | one is not taken          | any                   | that one's index: it takes the place of the socket  |
 * | all taken, or none exist  | any                   | undefined: a bind of its own. With SO_REUSEPORT the |
 * |                           |                       | group grows; without it the kernel says EADDRINUSE  |
 */
export function slotFor(slots: readonly Slot[]): number | undefined {
  const index = slots.findIndex(slot => !slot.taken);
  return index === -1 ? undefined : index;
}

/**
 * Whether a bind is of one family of a port that was named for both: `-p 80`, and a program that binds `0.0.0.0:80`, or both
 * `0.0.0.0:80` and `[::]:80`. The listener for both cannot take the place of its socket: that is of another family, and
 * accept(2) would fill in addresses that the program cannot read.
 *
 * | named for both | wanted         | is one of them                                |
 * |----------------|----------------|-----------------------------------------------|
 * | port 80        | `0.0.0.0:80`   | yes                                           |
 * | port 80        | `[::]:80` v6only | yes                                         |
 * | port 80        | one host       | no: it would be open to more than it asks for |
 */
export function isOneFamilyOf(port: number, wanted: ListenerIdentity): boolean {
  if (wanted.address.family === 'unix' || wanted.address.port !== port) return false;
  return wanted.address.host === '0.0.0.0' || (wanted.address.host === '::' && wanted.v6only);
}

/** The port of a listener that serves every address of both families; undefined for any other. */
export function bothFamiliesPort({ address, v6only }: ListenerIdentity): number | undefined {
  return address.family === 'IPv6' && address.host === '::' && !v6only ? address.port : undefined;
}
