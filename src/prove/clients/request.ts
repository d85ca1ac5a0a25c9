import type { ClassPlan } from '../classes.ts';
import type { Seen } from '../failure.ts';
import type { HttpResponse } from '../http-response.ts';
import type { Target } from '../target.ts';

/** How an answer says which version of the server gave it. */
export interface GenerationMark {
  /** A response header; `x-generation` by default. */
  header?: string;
  /** A pattern whose first group, found in the body, is the version; without it only the header counts. */
  body?: RegExp;
}

/** A request, encoded once for all its arrivals, with what is to be made of its response. */
export interface HttpRequest {
  method: string;
  /** Whether it asked for the connection to be kept. */
  persistent: boolean;
  bytes: Buffer;
  keepBody: boolean;
  /** What is wrong with a whole response; undefined if nothing is. */
  fault(response: HttpResponse): Seen | undefined;
  generation(response: HttpResponse): string | undefined;
}

/** Encodes the request of a class (RFC 9112 section 3). */
export function httpRequest(plan: ClassPlan, target: Target, persistent: boolean, mark: GenerationMark): HttpRequest {
  const body = Buffer.alloc(plan.bodyBytes, 'relisten ');
  const expected = plan.expectBody === undefined || typeof plan.expectBody === 'string' ? plan.expectBody : body;
  const expectedBytes = expected === undefined ? undefined : Buffer.from(expected);
  return {
    method: plan.method,
    persistent,
    bytes: Buffer.concat([requestHead(plan, target, persistent, body.length), body]),
    keepBody: expectedBytes !== undefined || mark.body !== undefined,
    fault: response => faultOf(response, plan.expectStatus, expectedBytes),
    generation: response =>
      response.headers.get(mark.header?.toLowerCase() ?? 'x-generation') ??
      (mark.body ? mark.body.exec(response.body.toString('latin1'))?.[1] : undefined),
  };
}

/** The head of a request, up to and with its empty line. */
export function requestHead(plan: ClassPlan, target: Target, persistent: boolean, bodyBytes: number): Buffer {
  const fields: Record<string, string> = {
    Host: target.authority,
    'User-Agent': 'relisten-prove',
    Accept: '*/*',
    Connection: persistent ? 'keep-alive' : 'close',
  };
  if (bodyBytes > 0 || plan.method === 'POST' || plan.method === 'PUT') {
    fields['Content-Type'] = 'application/octet-stream';
    fields['Content-Length'] = String(bodyBytes);
  }
  const lines = Object.entries({ ...fields, ...plan.headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${plan.method} ${plan.path ?? target.path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1');
}

function faultOf(response: HttpResponse, status: number | undefined, body: Buffer | undefined): Seen | undefined {
  const good = status === undefined ? response.status >= 200 && response.status < 300 : response.status === status;
  if (!good) return { kind: 'wrong-status', detail: String(response.status) };
  if (body === undefined || body.equals(response.body)) return undefined;
  return { kind: 'wrong-body', detail: `${response.body.length} bytes: ${shown(response.body)}` };
}

/** The beginning of a body, for people. */
export function shown(body: Buffer): string {
  return JSON.stringify(body.toString('latin1', 0, 60));
}
