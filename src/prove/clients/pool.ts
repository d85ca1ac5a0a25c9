import type { Arrival, Client } from '../arrival.ts';

/** A connection of a pool: takes a request, and calls back when it can take another. */
export interface PoolConnection {
  begin(arrival: Arrival): void;
}

/**
 * N connections that share the arrivals of a class, each in turn, so that all are in use however low the rate.
 * When all are busy an arrival waits, and its latency and its deadline count from when it was due.
 */
export class Pool implements Client {
  readonly #free: PoolConnection[] = [];
  readonly #waiting: Arrival[] = [];
  readonly #closeAll: () => void;

  /**
   * @param open makes one connection, which opens its socket when it needs one
   * @param closeAll drops every socket
   */
  constructor(size: number, open: (onFree: () => void) => PoolConnection, closeAll: () => void) {
    this.#closeAll = closeAll;
    for (let index = 0; index < size; index += 1) {
      const connection: PoolConnection = open(() => this.#onFree(connection));
      this.#free.push(connection);
    }
  }

  begin(arrival: Arrival): void {
    const connection = this.#free.shift();
    if (connection) connection.begin(arrival);
    else this.#waiting.push(arrival);
  }

  close(): void {
    this.#waiting.length = 0;
    this.#closeAll();
  }

  /** Its turn comes when all that has been received is taken in: a Close may stand behind the answer. */
  #onFree(connection: PoolConnection): void {
    queueMicrotask(() => this.#next(connection));
  }

  #next(connection: PoolConnection): void {
    // Those whose deadline came while they waited have been reported.
    let next = this.#waiting.shift();
    while (next?.settled) next = this.#waiting.shift();
    if (next) connection.begin(next);
    else this.#free.push(connection);
  }
}

/** For `closeAll`. */
export function destroyAll(sockets: Iterable<{ destroy(): void }>): void {
  for (const socket of sockets) socket.destroy();
}
