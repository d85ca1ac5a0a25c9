import { connect } from 'node:net';
import type { Address } from '../address.ts';

/** Whether a connection to the address succeeds, within so many milliseconds; it is closed at once. */
export function isListening(address: Address, timeout: number): Promise<boolean> {
  return new Promise(fulfil => {
    const socket = connect('path' in address ? { path: address.path } : { ...address });
    const answer = (listening: boolean) => {
      socket.destroy();
      fulfil(listening);
    };
    socket.setTimeout(Math.max(1, timeout), () => answer(false));
    socket.on('connect', () => answer(true)).on('error', () => answer(false));
  });
}
