import type { Socket } from 'node:net';
import { noteOn, notesOf } from './socket-notes.ts';

/*
 * The timer of `socket.setTimeout()`, of which Node does not tell how much is left. Tried on Node 20.20, 22.23, 24.21 and 26.10.
 */

/**
 * Takes back what `socket.setTimeout()` has set, and remembers what was left: when a loop is held up, Node fires timers
 * before it looks whether something has arrived (libuv's timers phase comes before its poll).
 */
export function suspendTimeout(socket: Socket): void {
  const left = socket.timeout ? remainingTimeout(socket) : undefined;
  if (left === undefined) return;
  noteOn(socket).due = performance.now() + left;
  socket.setTimeout(0);
}

/** Milliseconds until `socket.setTimeout()` fires, or would if it were not suspended; undefined where none is set. */
export function remainingTimeout(socket: Socket): number | undefined {
  if (!socket.timeout) {
    const due = notesOf(socket)?.due;
    return due === undefined ? undefined : Math.max(1, due - performance.now());
  }
  timeoutKey ??= Object.getOwnPropertySymbols(socket).find(symbol => symbol.description === 'timeout');
  // Not by Reflect.get, which V8 does not inline: this is done for thousands.
  const timer = timeoutKey && (socket as unknown as Record<symbol, unknown>)[timeoutKey];
  if (typeof timer !== 'object' || timer === null) return undefined;
  const elapsed = loopNow() - Number((timer as { _idleStart?: unknown })._idleStart);
  return Number.isFinite(elapsed) ? Math.max(1, socket.timeout - elapsed) : socket.timeout;
}

/** Node's key for a socket's timer. */
let timeoutKey: symbol | undefined;
let now: number | undefined;

/** The event loop's clock, which a timer shows and nothing else does. It stands still within an iteration. */
function loopNow(): number {
  if (now !== undefined) return now;
  const timer = setTimeout(() => undefined, 1);
  clearTimeout(timer);
  now = Number(Reflect.get(timer, '_idleStart'));
  setImmediate(() => {
    now = undefined;
  });
  return now;
}
