import type { Server } from 'node:net';
import { countOneMore } from '../kernel/handle.ts';

/** The methods that are shielded from. */
export const SHIELDED = ['close', 'closeIdleConnections'];

/**
 * While a drain runs, an application's own `server.close()` and `closeIdleConnections()` (fastify's, Nest's, a signal
 * handler's) must not destroy the connections that are being drained. The first calls back when the drain has closed
 * the last of them, the second does nothing. `closeAllConnections()` stays what it is.
 *
 * @param onClose the application wants the listener closed
 * @returns undoes it
 */
export function shieldFromClose(server: Server, onClose: () => void): () => void {
  const close = (callback?: (error?: Error) => void): Server => {
    if (callback) server.once('close', () => callback());
    onClose();
    keptOpen.get(server)?.close();
    return server;
  };
  const undo = [shadow(server, 'close', close)];
  if ('closeIdleConnections' in server) undo.push(shadow(server, 'closeIdleConnections', () => undefined));
  return () => {
    for (const restore of undo) restore();
  };
}

/** A server that the program has not closed yet. */
interface KeptOpen {
  close(): void;
  drained(): void;
}

const keptOpen = new WeakMap<Server, KeptOpen>();

/**
 * Shields a server from its program for good, which may hear only when the drain is over that it has to close it: it is
 * open until then, as the program sees it, and emits 'close' when it is drained and the program has closed it.
 *
 * @returns to be called when the drain is over
 */
export function keepOpen(server: Server): () => void {
  const known = keptOpen.get(server);
  if (known) return known.drained;
  const undo = shieldFromClose(server, () => undefined);
  const uncount = countOneMore(server);
  const left = new Set(['close', 'drained']);
  const done = (what: string) => {
    if (!left.delete(what) || left.size > 0) return;
    keptOpen.delete(server);
    undo();
    uncount();
  };
  const kept = { close: () => done('close'), drained: () => done('drained') };
  keptOpen.set(server, kept);
  return kept.drained;
}

/** Connections that a server counts and that are none. */
export function countedWithout(server: Server): number {
  return keptOpen.has(server) ? 1 : 0;
}

function shadow(server: Server, name: string, value: unknown): () => void {
  const own = Object.getOwnPropertyDescriptor(server, name);
  Object.defineProperty(server, name, { value, configurable: true, writable: true });
  return () => {
    if (Reflect.get(server, name) !== value) return;
    if (own) Object.defineProperty(server, name, own);
    else Reflect.deleteProperty(server, name);
  };
}
