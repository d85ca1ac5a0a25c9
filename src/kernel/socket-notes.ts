import type { Socket } from 'node:net';

/** What relisten remembers of a socket. */
export interface SocketNotes {
  /** When the timeout is due that was suspended: performance.now() in milliseconds. */
  due: number | undefined;
  /** Bytes came in another process. */
  used: boolean;
  /** Bytes read when the HTTP server itself called it idle. */
  readWhenIdle: number | undefined;
}

/** On the socket itself: a Map of thousands costs more, and a WeakMap most. */
const NOTES = Symbol('relisten.notes');

interface Noted {
  [NOTES]?: SocketNotes | undefined;
}

/** Makes room for the notes in a socket that nothing has been compiled for yet (see drain/shapes.ts). */
export function makeRoomForNotes(socket: Socket): void {
  if (!(NOTES in socket))
    Object.defineProperty(socket, NOTES, { value: undefined, writable: true, configurable: true });
}

/** What is remembered of a socket, if anything is. */
export function notesOf(socket: Socket): SocketNotes | undefined {
  return (socket as Noted)[NOTES];
}

/** To remember something. */
export function noteOn(socket: Socket): SocketNotes {
  const noted = socket as Noted;
  noted[NOTES] ??= { due: undefined, used: false, readWhenIdle: undefined };
  return noted[NOTES];
}

/** Bytes came on it in another process. */
export function setUsed(socket: Socket): void {
  noteOn(socket).used = true;
}

/** Whether a byte ever came from the client, in this process or in the one that had the connection before. */
export function hasBeenUsed(socket: Socket): boolean {
  return socket.bytesRead > 0 || notesOf(socket)?.used === true;
}
