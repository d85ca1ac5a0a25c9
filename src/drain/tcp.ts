import type { Socket } from 'node:net';
import { halfClose, type Patience } from './half-close.ts';
import type { Decision, UseFacts } from './http1.ts';

/**
 * What becomes of a connection whose protocol only the application knows.
 *
 * | use    | offerable | when                     | then                                                      |
 * |--------|-----------|--------------------------|-----------------------------------------------------------|
 * | any    | yes       | -                        | offer                                                     |
 * | silent | no        | before since + grace     | wait: it waited in the accept queue, or was just upgraded |
 * | silent | no        | after it                 | leave                                                     |
 * | busy   | no        | -                        | leave                                                     |
 */
export function decideTcp(facts: Omit<UseFacts, 'idleSince' | 'othersHold'>, grace: { silentGrace: number }): Decision {
  if (facts.offerable) return { act: 'offer' };
  const until = facts.since + grace.silentGrace;
  if (facts.use === 'silent' && facts.now < until) return { act: 'wait', until, holds: true };
  return { act: 'leave', holds: true };
}

/**
 * The goodbye of a connection whose protocol only the application knows: its own `onDrain`, then half-close. The
 * application goes on reading to the end; what it writes behind the FIN goes nowhere, without an error that it would
 * have to expect.
 */
export async function leaveTcp(
  socket: Socket,
  patience: Patience,
  onDrain: ((socket: Socket) => unknown) | undefined,
): Promise<void> {
  try {
    await onDrain?.(socket);
  } catch (error) {
    process.emitWarning(error instanceof Error ? error : String(error), 'RelistenWarning');
  }
  if (socket.destroyed) return;
  muteWrites(socket);
  halfClose(socket, { ...patience, clientFirst: 0 }, 'application');
}

/** Node destroys a socket that is written to after end(), and reports it as an error that nobody may be waiting for. */
function muteWrites(socket: Socket): void {
  const write = (...args: unknown[]): boolean => {
    const callback = args.at(-1);
    if (typeof callback === 'function') process.nextTick(callback, null);
    return true;
  };
  Object.defineProperty(socket, 'write', { value: write, configurable: true, writable: true });
}
