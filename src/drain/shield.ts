import type { Server } from 'node:net';
import { holdConnections } from './guard.ts';

/** The methods that are shielded from. */
export const SHIELDED = ['close', 'closeIdleConnections'];

/**
 * While a drain runs, an application's own `server.close()` and `closeIdleConnections()` (fastify's, Nest's, a signal
 * handler's) must not destroy the connections that are being drained. The first calls back when the drain has closed
 * the last of them, the second does nothing. Nor must what it does to HTTP/1.1 connections, `closeAllConnections()`
 * included: see guard.ts.
 *
 * @param onClose the application wants the listener closed
 * @returns undoes it
 */
export function shieldFromClose(server: Server, onClose: () => void): () => void {
  const close = (callback?: (error?: Error) => void): Server => {
    if (callback) server.once('close', () => callback());
    onClose();
    return server;
  };
  const undo = [shadow(server, 'close', close), holdConnections(server)];
  if ('closeIdleConnections' in server) undo.push(shadow(server, 'closeIdleConnections', () => undefined));
  return () => {
    for (const restore of undo) restore();
  };
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
