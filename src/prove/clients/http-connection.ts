import type { Socket } from 'node:net';
import { type HttpResponse, HttpResponseParser, MalformedResponse } from '../http-response.ts';
import { Connection, type Wiring } from './connection.ts';
import type { HttpRequest } from './request.ts';

/** A connection that sends the same HTTP/1.1 request again and again. */
export class HttpConnection extends Connection {
  readonly #request: HttpRequest;
  #parser: HttpResponseParser | undefined;

  constructor(wiring: Wiring, request: HttpRequest, onFree: () => void) {
    super(wiring, onFree);
    this.#request = request;
  }

  protected override send(socket: Socket): void {
    this.#parser = new HttpResponseParser(this.#request.method, this.#request.keepBody);
    socket.write(this.#request.bytes);
  }

  protected override receive(chunk: Buffer): void {
    try {
      const response = this.#parser?.push(chunk);
      if (response) this.#finish(response);
    } catch (error) {
      if (!(error instanceof MalformedResponse)) throw error;
      this.fail({ kind: 'malformed', detail: error.message });
    }
  }

  protected override halfway(): boolean {
    return this.#parser?.started ?? false;
  }

  protected override ended(): void {
    const response = this.#parser?.end();
    if (response) this.#finish(response);
    else super.ended();
  }

  #finish(response: HttpResponse): void {
    if (!response.persistent) {
      // A client that asked for the close has nothing to count.
      if (this.#request.persistent) this.observer.count('closedAnnounced');
      this.linger();
    }
    const fault = this.#request.fault(response);
    if (fault) this.failOnly(fault);
    else this.succeed(this.#request.generation(response));
  }
}
