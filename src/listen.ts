import type { Server } from 'node:net';
import type { Listening } from './listen/listening.ts';
import type { ListenOptions } from './listen/options.ts';

export type { Listening } from './listen/listening.ts';
export type { ListenOptions, RetryOptions } from './listen/options.ts';

/**
 * Makes a server listen: on the listener that was inherited for the address (sd_listen_fds(3)), else on a new one as soon
 * as that is possible. Leftovers of dead connections are waited for until the kernel's own timer has run out, or evicted;
 * a live process that has the address fails it at once, unless `retry` is given.
 *
 * The server owns the listener afterwards. When this fails, nothing is left open and the server can be tried again.
 *
 * @param server of node:net, tls, http, https or http2; what express, fastify (`app.server`, once ready), koa and ws sit on
 * @param options where and how; a port or an address such as `127.0.0.1:3000` will do
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`; `ERR_SERVER_ALREADY_LISTEN`; `ERR_LISTEN_FDS` for inherited descriptors
 *   that are not what they should be; the resolver's code; the errno's name, with what is in the way as its `report`;
 *   `ABORT_ERR`
 * @example
 * ```ts
 * await using listening = await listen(createServer(app), { port: 3000 });
 * ```
 */
export async function listen(server: Server, options: ListenOptions | number | string): Promise<Listening> {
  // Loaded here, so that importing relisten costs next to nothing.
  const { start } = await import('./listen/start.ts');
  return start(server, options);
}
