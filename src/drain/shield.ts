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
  /** To the program it looks as if it listened. */
  show(): void;
}

const keptOpen = new Map<Server, KeptOpen>();

/**
 * Shields a server from its program for good, which may hear only when the drain is over that it has to close it: it is
 * open until then, as the program sees it, and emits 'close' when it is drained and the program has closed it.
 *
 * @returns to be called when the drain is over
 */
export function keepOpen(server: Server): () => void {
  const known = keptOpen.get(server);
  if (known) return known.drained;
  const address = server.address();
  const undo = [shieldFromClose(server, () => undefined)];
  const uncount = countOneMore(server);
  // One that the program has closed already waits for its connections.
  const left = new Set(server.listening ? ['close', 'drained'] : ['drained']);
  const done = (what: string) => {
    if (!left.delete(what) || left.size > 0) return;
    keptOpen.delete(server);
    for (const restore of undo.reverse()) restore();
    uncount();
  };
  let hide: (() => void) | undefined;
  const kept = {
    close: () => {
      hide?.();
      done('close');
    },
    drained: () => done('drained'),
    show: () => {
      if (!left.has('close') || hide) return;
      const restore = showListening(server, address);
      hide = () => {
        for (const each of restore.splice(0)) each();
      };
      undo.push(hide);
    },
  };
  keptOpen.set(server, kept);
  return kept.drained;
}

/** The program is about to hear that it has to close its servers. */
export function showOpen(): void {
  for (const kept of keptOpen.values()) kept.show();
}

/** Connections that a server counts and that are none. */
export function countedWithout(server: Server): number {
  return keptOpen.has(server) ? 1 : 0;
}

/** What programs ask of a server before they close it. */
function showListening(server: Server, address: ReturnType<Server['address']>): (() => void)[] {
  const { getConnections } = server;
  const count = (callback: (error: Error | null, count: number) => void) =>
    getConnections.call(server, (error, all) => callback(error, all - countedWithout(server)));
  const dispose = () => new Promise<void>(settle => server.close(() => settle()));
  return [
    shadow(server, 'listening', true),
    shadow(server, 'address', () => address),
    shadow(server, 'getConnections', count),
    shadow(server, Symbol.asyncDispose, dispose),
  ];
}

function shadow(server: Server, name: string | symbol, value: unknown): () => void {
  const own = Object.getOwnPropertyDescriptor(server, name);
  Object.defineProperty(server, name, { value, configurable: true, writable: true });
  return () => {
    if (Reflect.get(server, name) !== value) return;
    if (own) Object.defineProperty(server, name, own);
    else Reflect.deleteProperty(server, name);
  };
}
