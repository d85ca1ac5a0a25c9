import type { Server } from 'node:net';
import type { SocketAddress } from '../address.ts';
import type { OwnedPath } from './owned-path.ts';

/** A server that listens. */
export interface Listening {
  /** Where; with the port that the kernel chose for port 0. */
  readonly address: SocketAddress;
  /** Whether the listener was inherited, and not bound by us. */
  readonly adopted: boolean;
  /** Milliseconds that were spent waiting for what was in the way. */
  readonly waited: number;
  /** What was asked for and could not be had, a sentence each. */
  readonly warnings: readonly string[];
  /**
   * Closes the server as `server.close()` does, and removes the unix socket's file unless a successor has taken its name.
   * Resolves when the last connection has ended; a second call answers the same.
   */
  close(): Promise<void>;
  /** {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Looks after a server that listens, until it is closed by whomever. */
export function listening(
  server: Server,
  facts: Pick<Listening, 'address' | 'adopted' | 'waited' | 'warnings'>,
  path: OwnedPath | undefined,
  signal: AbortSignal | undefined,
): Listening {
  const { address } = facts;
  // Node knows no name of a pipe that it has not bound, and answers null.
  const unnamed = address.family === 'unix' && server.address() === null;
  if (unnamed) Object.defineProperty(server, 'address', { configurable: true, value: () => address.path });
  const close = () => {
    if (server.listening) {
      path?.release();
      server.close();
    }
    return closed;
  };
  const onAbort = () => void close();
  const closed = new Promise<void>(fulfil => server.once('close', fulfil)).then(() => {
    path?.release();
    if (unnamed) Reflect.deleteProperty(server, 'address');
    signal?.removeEventListener('abort', onAbort);
  });
  signal?.addEventListener('abort', onAbort, { once: true });
  return { ...facts, close, [Symbol.asyncDispose]: close };
}
