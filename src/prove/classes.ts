import type { Address } from '../address.ts';
import { invalidArgument } from '../errors.ts';
import type { ClientKind } from './result.ts';

/** One class of clients, as the caller wants it. */
export interface ClassOptions {
  kind: ClientKind;
  /** What the result calls it; the kind by default. */
  name?: string;
  /** Arrivals per second. */
  rate: number;
  /** Size of the pool of kinds that keep their connections; 20 by default, 5 for websocket and tcp. */
  connections?: number;
  /** Where this class goes, if not where all go. */
  target?: string | number | Address;
  /** GET by default, POST for keep-alive-post. */
  method?: string;
  /** The target's own path by default. */
  path?: string;
  headers?: Record<string, string>;
  /** Bytes of the request's body; 0 by default, 16 KiB for keep-alive-post, 32 for websocket and tcp. */
  bodyBytes?: number;
  /** The one good status; any 2xx by default. */
  expectStatus?: number;
  /** The one good body; `{ echo: true }` stands for the request's own. Any by default. */
  expectBody?: string | { echo: true };
}

/** A class with its defaults filled in. */
export interface ClassPlan extends ClassOptions {
  name: string;
  method: string;
  bodyBytes: number;
  /** Undefined where every request has a connection of its own. */
  connections: number | undefined;
}

const DEFAULTS: Record<ClientKind, { method: string; bodyBytes: number; connections: number | undefined }> = {
  fresh: { method: 'GET', bodyBytes: 0, connections: undefined },
  'keep-alive-get': { method: 'GET', bodyBytes: 0, connections: 20 },
  'keep-alive-post': { method: 'POST', bodyBytes: 16_384, connections: 20 },
  slow: { method: 'GET', bodyBytes: 0, connections: undefined },
  websocket: { method: 'GET', bodyBytes: 32, connections: 5 },
  tcp: { method: '', bodyBytes: 32, connections: 5 },
};

/**
 * Fills in the defaults and checks the rest.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`
 */
export function planClass(options: ClassOptions): ClassPlan {
  const defaults = DEFAULTS[options.kind];
  if (!defaults) throw invalidArgument('client class', options.kind, Object.keys(DEFAULTS).join(', '));
  const connections = defaults.connections === undefined ? undefined : (options.connections ?? defaults.connections);
  const plan = {
    ...options,
    name: options.name ?? options.kind,
    method: (options.method ?? defaults.method).toUpperCase(),
    bodyBytes: options.bodyBytes ?? defaults.bodyBytes,
    connections,
  };
  if (!(plan.rate > 0 && plan.rate <= 100_000)) {
    throw invalidArgument(`rate of ${plan.name}`, plan.rate, 'more than 0 and at most 100,000 per second');
  }
  if (connections !== undefined && !(Number.isInteger(connections) && connections >= 1 && connections <= 20_000)) {
    throw invalidArgument(`connections of ${plan.name}`, connections, 'a whole number from 1 to 20,000');
  }
  if (!Number.isInteger(plan.bodyBytes) || plan.bodyBytes < 0 || plan.bodyBytes > 16_777_216) {
    throw invalidArgument(`bodyBytes of ${plan.name}`, plan.bodyBytes, 'a whole number of bytes up to 16 MiB');
  }
  checkHttp(plan);
  return plan;
}

/** What goes into a request's head must not be able to end it. */
function checkHttp(plan: ClassPlan): void {
  if (plan.kind !== 'tcp' && !/^[A-Z]+$/.test(plan.method)) {
    throw invalidArgument(`method of ${plan.name}`, plan.method, 'an HTTP method such as GET or POST');
  }
  if (plan.path !== undefined && !/^\/[\x21-\x7e]*$/.test(plan.path)) {
    throw invalidArgument(`path of ${plan.name}`, plan.path, 'a path that begins with / and has no blanks');
  }
  for (const [name, value] of Object.entries(plan.headers ?? {})) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || /[\r\n\0]/.test(value)) {
      throw invalidArgument(`header of ${plan.name}`, `${name}: ${value}`, 'a header name and a value on one line');
    }
  }
}
