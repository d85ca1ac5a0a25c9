/*
 * One generation for bench/drain.js: an HTTP server on the listener that it inherits as fd 3, which ends on SIGTERM the way
 * that its argument names.
 */
import { createServer } from 'node:http';

/** How long each way is given, before the process exits with whatever is left. */
const DEADLINE_MS = 5_000;

const [way = ''] = process.argv.slice(2);
const server = createServer((request, response) => {
  response.setHeader('x-generation', process.env.GENERATION ?? '');
  request.resume().on('end', () => response.end('hello'));
});

/** From bench/node_modules, which is not there until the benchmark is run. @param {string} name */
const load = name => import(name);

/** @type {Record<string, () => Promise<() => Promise<unknown>>>} */
const WAYS = {
  'relisten drain': async () => {
    const { drain, track } = await import('../../dist/index.js');
    track(server);
    return () => drain(server, { shared: true, deadline: DEADLINE_MS });
  },
  'server.close': async () => () => new Promise(done => server.close(done)),
  stoppable: async () => {
    const { default: stoppable } = await load('stoppable');
    const stopping = stoppable(server, DEADLINE_MS);
    return () => new Promise(done => stopping.stop(done));
  },
  'http-terminator': async () => {
    const { createHttpTerminator } = await load('http-terminator');
    const terminator = createHttpTerminator({ server, gracefulTerminationTimeout: DEADLINE_MS });
    return () => terminator.terminate();
  },
  'http-graceful-shutdown': async () => {
    const { default: gracefulShutdown } = await load('http-graceful-shutdown');
    return gracefulShutdown(server, { timeout: DEADLINE_MS, signals: '', forceExit: false });
  },
};

const end = await WAYS[way]?.();
process.once('SIGTERM', async () => {
  setTimeout(() => process.exit(1), DEADLINE_MS + 500);
  await end?.();
  process.exit();
});
server.listen({ fd: 3 }, () => process.send?.('ready'));
