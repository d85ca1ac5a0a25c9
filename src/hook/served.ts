import type { Server } from 'node:net';

// A registered symbol: the hook and the program may have loaded two copies of this package.
const SERVED = Symbol.for('relisten.served');

/** Marks a server whose stop is somebody else's, so that the hook leaves it alone (begin.cts). */
export function setServed(server: Server): void {
  Object.defineProperty(server, SERVED, { value: true, configurable: true });
}
