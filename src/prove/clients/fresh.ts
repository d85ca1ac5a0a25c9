import type { Socket } from 'node:net';
import type { Client, Observer } from '../arrival.ts';
import type { ClassPlan } from '../classes.ts';
import type { Target } from '../target.ts';
import { HttpConnection } from './http-connection.ts';
import { destroyAll } from './pool.ts';
import { type GenerationMark, httpRequest } from './request.ts';

/**
 * A connection a request, as `Connection: close` says.
 * Slow clients are such clients too: only their path, whose response takes a second, tells them apart.
 */
export function freshClient(plan: ClassPlan, target: Target, observer: Observer, mark: GenerationMark): Client {
  const wiring = { target, observer, sockets: new Set<Socket>() };
  const request = httpRequest(plan, target, false, mark);
  return {
    begin: arrival => new HttpConnection(wiring, request, () => {}).begin(arrival),
    close: () => destroyAll(wiring.sockets),
  };
}
