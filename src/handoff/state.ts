import type { Socket } from 'node:net';

/** How a raw TCP server takes part in the handoff. */
export interface RawHandoff {
  /**
   * What the next generation must know of a connection to go on with it; undefined to have it drained. Called when no
   * byte waits to be written. At most 98,304 bytes, what was read and not consumed included.
   */
  save(socket: Socket): Uint8Array | undefined;
  /**
   * Called in the next generation, after the server's 'connection' listeners and before any 'data', with what `save`
   * returned.
   */
  restore(socket: Socket, state: Buffer): void;
}

const handedOff = new WeakSet<Socket>();

/** Whether a connection came from the previous generation: a server that greets its clients must not greet it again. */
export function isHandedOff(socket: Socket): boolean {
  return handedOff.has(socket);
}

export function setHandedOff(socket: Socket): void {
  handedOff.add(socket);
}
