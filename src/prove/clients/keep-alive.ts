import type { Socket } from 'node:net';
import type { Client, Observer } from '../arrival.ts';
import type { ClassPlan } from '../classes.ts';
import type { Target } from '../target.ts';
import { HttpConnection } from './http-connection.ts';
import { destroyAll, Pool } from './pool.ts';
import { type GenerationMark, httpRequest } from './request.ts';

/**
 * A pool of persistent connections that GET, or POST a body of 16 KiB.
 * Nothing is tried again, not even a GET: the race that a retry would hide is what is measured.
 */
export function keepAliveClient(plan: ClassPlan, target: Target, observer: Observer, mark: GenerationMark): Client {
  const wiring = { target, observer, sockets: new Set<Socket>() };
  const request = httpRequest(plan, target, true, mark);
  return new Pool(
    plan.connections ?? 1,
    onFree => new HttpConnection(wiring, request, onFree),
    () => destroyAll(wiring.sockets),
  );
}
