import { createServer } from 'node:http';
import { createTerminus } from '@godaddy/terminus';
import gracefulShutdown from 'http-graceful-shutdown';
import { createHttpTerminator } from 'http-terminator';
import stoppable from 'stoppable';

/* Closes its connections itself when it is told to stop, by the library, or the call, that its argument names. */

const server = createServer((request, response) => {
  setTimeout(() => response.end(`${process.env.RELISTEN_GENERATION}`), request.url === '/slow' ? 300 : 0);
});
const exit = () => process.exit(0);
const ways = {
  stoppable: () => {
    const stopping = stoppable(server, 100);
    process.once('SIGTERM', () => stopping.stop(exit));
  },
  'http-terminator': () => {
    const terminator = createHttpTerminator({ server, gracefulTerminationTimeout: 100 });
    process.once('SIGTERM', () => terminator.terminate().then(exit));
  },
  'http-graceful-shutdown': () => gracefulShutdown(server, { timeout: 100 }),
  // Raises the signal again.
  '@godaddy/terminus': () => createTerminus(server, { signal: 'SIGTERM', timeout: 100 }),
  closeAllConnections: () =>
    process.once('SIGTERM', () => {
      server.close(exit);
      server.closeAllConnections();
    }),
};
ways[process.argv[2]]();
server.listen(process.env.PORT);
