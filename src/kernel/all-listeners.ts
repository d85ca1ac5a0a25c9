import type { SocketAddress } from '../address.ts';
import { readUnixTable } from './proc-net.ts';
import { dumpTcp } from './sock-diag.ts';

/** A listener as the kernel shows it. */
export interface SeenListener {
  inode: number;
  address: SocketAddress;
}

/** Every listener with an address, of our network. */
export function allListeners(): SeenListener[] {
  const tcp = dumpTcp({ states: ['LISTEN'] }).map(({ inode, local }) => ({ inode, address: local }));
  const unix = readUnixTable().flatMap(({ state, path, inode }): SeenListener[] => {
    return state === 'LISTEN' && path !== undefined ? [{ inode, address: { family: 'unix', path } }] : [];
  });
  return [...tcp, ...unix];
}
