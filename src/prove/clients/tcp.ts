import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Client, Observer } from '../arrival.ts';
import type { ClassPlan } from '../classes.ts';
import type { Target } from '../target.ts';
import { Connection, type Wiring } from './connection.ts';
import { destroyAll, Pool } from './pool.ts';
import { shown } from './request.ts';

/** Sends a line and waits for the same bytes, over connections that stay open. Every line is unique. */
export function tcpClient(plan: ClassPlan, target: Target, observer: Observer): Client {
  const wiring = { target, observer, sockets: new Set<Socket>() };
  return new Pool(
    plan.connections ?? 1,
    onFree => new TcpConnection(wiring, plan.bodyBytes, onFree),
    () => destroyAll(wiring.sockets),
  );
}

class TcpConnection extends Connection {
  readonly #bytes: number;
  #sent: Buffer = Buffer.alloc(0);
  #echoed = 0;

  constructor(wiring: Wiring, bytes: number, onFree: () => void) {
    super(wiring, onFree);
    this.#bytes = bytes;
  }

  protected override send(socket: Socket): void {
    this.#sent = uniqueLine(this.#bytes);
    this.#echoed = 0;
    socket.write(this.#sent);
  }

  protected override receive(chunk: Buffer): void {
    if (!this.#sent.subarray(this.#echoed, this.#echoed + chunk.length).equals(chunk)) {
      this.fail({ kind: 'wrong-body', detail: shown(chunk) });
      return;
    }
    this.#echoed += chunk.length;
    if (this.#echoed === this.#sent.length) this.succeed();
  }

  protected override halfway(): boolean {
    return this.#echoed > 0;
  }
}

/** A line of `bytes` bytes, at least 2, that nobody else sends. */
export function uniqueLine(bytes: number): Buffer {
  const length = Math.max(1, bytes - 1);
  return Buffer.from(
    `${randomBytes(Math.ceil(length / 2))
      .toString('hex')
      .slice(0, length)}\n`,
  );
}
