import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Client, Observer } from '../arrival.ts';
import type { ClassPlan } from '../classes.ts';
import { HttpResponseParser, MalformedResponse } from '../http-response.ts';
import type { Target } from '../target.ts';
import { decodeFrame, encodeFrame, type Frame, MalformedFrame, OPCODE } from '../websocket-frame.ts';
import { Connection, type Wiring } from './connection.ts';
import { destroyAll, Pool } from './pool.ts';
import { requestHead, shown } from './request.ts';
import { uniqueLine } from './tcp.ts';

/** RFC 6455 section 1.3. */
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** Sends a text message and waits for its echo, over WebSockets that stay open. Every message is unique. */
export function websocketClient(plan: ClassPlan, target: Target, observer: Observer): Client {
  const wiring = { target, observer, sockets: new Set<Socket>() };
  return new Pool(
    plan.connections ?? 1,
    onFree => new WebSocketConnection(wiring, plan, onFree),
    () => destroyAll(wiring.sockets),
  );
}

class WebSocketConnection extends Connection {
  readonly #plan: ClassPlan;
  readonly #target: Target;
  #accept = '';
  /** Whether the handshake is over. */
  #upgraded = false;
  #pending: Buffer = Buffer.alloc(0);
  #message: Buffer = Buffer.alloc(0);
  /** The parts of a message that came so far. */
  #parts: Buffer[] = [];

  constructor(wiring: Wiring, plan: ClassPlan, onFree: () => void) {
    super(wiring, onFree);
    this.#plan = plan;
    this.#target = wiring.target;
  }

  protected override send(socket: Socket, opened: boolean): void {
    this.#message = uniqueLine(this.#plan.bodyBytes);
    this.#parts = [];
    if (!opened) {
      socket.write(encodeFrame(OPCODE.text, this.#message));
      return;
    }
    this.#upgraded = false;
    this.#pending = Buffer.alloc(0);
    const key = randomBytes(16).toString('base64');
    this.#accept = createHash('sha1')
      .update(key + ACCEPT_GUID)
      .digest('base64');
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Key': key,
      'Sec-WebSocket-Version': '13',
    };
    socket.write(requestHead({ ...this.#plan, headers: { ...this.#plan.headers, ...headers } }, this.#target, true, 0));
  }

  protected override receive(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    try {
      if (this.#upgraded || this.#takeHandshake()) this.#takeFrames();
    } catch (error) {
      if (!(error instanceof MalformedFrame || error instanceof MalformedResponse)) throw error;
      this.fail({ kind: 'malformed', detail: error.message });
    }
  }

  /** Pings and Close frames come between two messages too; a message that nobody asked for is one too many. */
  protected override receiveIdle(chunk: Buffer): void {
    this.receive(chunk);
  }

  protected override halfway(): boolean {
    return this.#pending.length > 0 || this.#parts.length > 0;
  }

  #takeHandshake(): boolean {
    const end = this.#pending.indexOf('\r\n\r\n');
    if (end === -1) return false;
    const response = new HttpResponseParser('GET', false).push(this.#pending.subarray(0, end + 4));
    if (response?.status !== 101) {
      this.fail({ kind: 'wrong-status', detail: this.#pending.toString('latin1', 9, 12) });
      return false;
    }
    if (response.headers.get('sec-websocket-accept') !== this.#accept)
      throw new MalformedResponse('Sec-WebSocket-Accept');
    this.#pending = this.#pending.subarray(end + 4);
    this.#upgraded = true;
    this.socket?.write(encodeFrame(OPCODE.text, this.#message));
    return true;
  }

  #takeFrames(): void {
    while (this.socket) {
      const taken = decodeFrame(this.#pending);
      if (!taken) return;
      this.#pending = taken.rest;
      this.#takeFrame(taken.frame);
    }
  }

  #takeFrame(frame: Frame): void {
    if (frame.opcode === OPCODE.ping) this.socket?.write(encodeFrame(OPCODE.pong, frame.payload));
    else if (frame.opcode === OPCODE.close) this.#takeClose(frame.payload);
    else if (frame.opcode !== OPCODE.pong) this.#takeMessage(frame);
  }

  #takeMessage(frame: Frame): void {
    if (!this.arrival) {
      super.receiveIdle(frame.payload);
      return;
    }
    this.#parts.push(frame.payload);
    if (!frame.final) return;
    const message = Buffer.concat(this.#parts.splice(0));
    if (message.equals(this.#message)) this.succeed();
    else this.fail({ kind: 'wrong-body', detail: shown(message) });
  }

  /** The closing handshake (section 7): answered with the same code, then the server closes the connection. */
  #takeClose(payload: Buffer): void {
    this.observer.count('closedAnnounced');
    this.socket?.write(encodeFrame(OPCODE.close, payload.subarray(0, 2)));
    const code = payload.length >= 2 ? payload.readUInt16BE(0) : 'without a code';
    this.linger();
    if (this.arrival) this.failOnly({ kind: 'eof', detail: `Close ${code} before the echo` });
  }
}
