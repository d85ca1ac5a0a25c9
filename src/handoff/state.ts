import type { Server, Socket } from 'node:net';
import { invalidArgument } from '../errors.ts';

/** How a raw TCP server takes part in the handoff. */
export interface RawHandoff {
  /**
   * What the next generation must know of a connection to go on with it; undefined to have it drained. Called when no
   * byte waits to be written. At most 98,304 bytes, what was read and not consumed included. The connection may stay
   * after all, so nothing may be changed here.
   */
  save(socket: Socket): Uint8Array | undefined;
  /**
   * Called in the next generation, after the server's 'connection' listeners and before any 'data', with what `save`
   * returned.
   */
  restore(socket: Socket, state: Buffer): void;
}

// Registered symbols: the hook and the program may have loaded two copies of this package.
const HANDED_OFF = Symbol.for('relisten.handed-off');
const RAW_HANDOFF = Symbol.for('relisten.raw-handoff');

/**
 * Whether a connection came from the previous generation. A raw TCP server that greets its clients must not greet those
 * again; it may ask from its 'connection' listener on.
 */
export function isHandedOff(socket: Socket): boolean {
  return (socket as Marked)[HANDED_OFF] === true;
}

export function setHandedOff(socket: Socket): void {
  (socket as Marked)[HANDED_OFF] = true;
}

interface Marked {
  [HANDED_OFF]?: true;
}

/**
 * Lets the connections of a raw TCP server outlive the process: under `relisten run` they are given to the next
 * generation instead of being closed. HTTP servers need no such thing.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`
 *
 * @example
 * handOff(server, {
 *   save: socket => Buffer.from(JSON.stringify(sessions.get(socket))),
 *   restore: (socket, state) => sessions.set(socket, JSON.parse(state.toString())),
 * });
 */
export function handOff(server: Server, handoff: RawHandoff): void {
  const usable = typeof handoff?.save === 'function' && typeof handoff.restore === 'function';
  if (!usable) throw invalidArgument('handoff', handoff, 'an object with the functions save and restore');
  Object.defineProperty(server, RAW_HANDOFF, { value: handoff, configurable: true });
}

export function rawHandoffOf(server: Server): RawHandoff | undefined {
  return Reflect.get(server, RAW_HANDOFF);
}
