import type { Client, Observer } from '../arrival.ts';
import type { ClassPlan } from '../classes.ts';
import type { ClientKind } from '../result.ts';
import type { Target } from '../target.ts';
import { freshClient } from './fresh.ts';
import { keepAliveClient } from './keep-alive.ts';
import type { GenerationMark } from './request.ts';
import { tcpClient } from './tcp.ts';
import { websocketClient } from './websocket.ts';

type OpenClient = (plan: ClassPlan, target: Target, observer: Observer, mark: GenerationMark) => Client;

const CLIENTS: Record<ClientKind, OpenClient> = {
  fresh: freshClient,
  slow: freshClient,
  'keep-alive-get': keepAliveClient,
  'keep-alive-post': keepAliveClient,
  websocket: websocketClient,
  tcp: tcpClient,
};

/** The client of a class. It opens nothing before its first request. */
export function openClient(plan: ClassPlan, target: Target, observer: Observer, mark: GenerationMark): Client {
  return CLIENTS[plan.kind](plan, target, observer, mark);
}
