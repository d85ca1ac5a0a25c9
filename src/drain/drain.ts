import { EventEmitter } from 'node:events';
import type { Server, Socket } from 'node:net';
import { type DrainOptions, type DrainSettings, settingsOf } from './options.ts';
import type { Draining, DrainReport } from './report.ts';
import { shieldFromClose } from './shield.ts';
import { type DrainTarget, serversOf } from './targets.ts';
import { type Connection, trackConnections } from './track.ts';

const running = new WeakMap<Server, Draining>();

/**
 * Ends servers well: not ready any more → (delay, still accepting) → stop accepting → finish what is in flight → goodbye
 * → close → at the deadline cut, and report what was cut.
 *
 * @param servers one or any mix of net, tls, http, https, http2, ws and socket.io servers of this process
 * @returns a promise that rejects only if relisten's own files are gone (see {@link track}). While a drain of all of
 *   these servers runs, and afterwards until one of them listens again, a further call returns the same promise, and its
 *   options are only checked. Servers that are draining already are left out of a further drain of more.
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`, at once
 *
 * @example
 * process.once('SIGTERM', async () => {
 *   const report = await drain(server, { deadline: 10_000 });
 *   process.exitCode = report.cut.length === 0 ? 0 : 1;
 * });
 */
export function drain(servers: DrainTarget | readonly DrainTarget[], options?: DrainOptions): Draining {
  const given = serversOf(servers);
  const settings = settingsOf(options);
  const fresh = given.filter(server => !running.has(server));
  const [first] = given;
  const known = fresh.length === 0 && first ? running.get(first) : undefined;
  if (known) return known;
  const events: Draining['events'] = new EventEmitter();
  const draining = Object.assign(run(fresh, settings, events), { events });
  for (const server of fresh) {
    running.set(server, draining);
    server.once('listening', () => running.delete(server));
  }
  return draining;
}

/**
 * Prepares a server for a drain that comes later: keeps its connections from now on, so that each is known with its age,
 * and loads what a drain needs, since a deployment may have replaced relisten's files when it comes. A drain finds nearly
 * all connections by itself too; only sockets that were unref'd, or are no net.Socket, need this to be seen. Called before
 * the first clients, it also has V8 compile nothing anew when a drain begins (drain/shapes.ts).
 *
 * @returns the open connections by their raw sockets; the map lives as long as the server
 */
export function track(server: Server): ReadonlyMap<Socket, Connection> {
  void loadCourse();
  void import('./shapes.ts').then(({ settleShapes }) => settleShapes(server));
  return trackConnections(server);
}

/** What a drain does is loaded apart: who imports relisten for something else need not pay for it. */
export function loadCourse(): Promise<typeof import('./course.ts')> {
  return import('./course.ts');
}

async function run(servers: Server[], settings: DrainSettings, events: Draining['events']): Promise<DrainReport> {
  const startedAt = performance.now();
  const delayOver = new AbortController();
  const shields = servers.map(server => shieldFromClose(server, () => delayOver.abort()));
  try {
    const { Course } = await loadCourse();
    return await new Course(servers, settings, events, startedAt, delayOver.signal).run();
  } finally {
    for (const remove of shields) remove();
  }
}
