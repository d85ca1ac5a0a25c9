import { createServer } from 'node:http';
import { app } from './app.js';

/*
 * The express server as one of two that take turns at a listener that both inherited as descriptor 3: booted, it waits
 * until it is told to serve; told to stop, it says Connection: close and ends. Nothing of relisten is in it.
 */

const server = createServer(app);
let stopping = false;
server.prependListener('request', (_request, response) => {
  if (stopping) response.setHeader('Connection', 'close');
});
process.on('message', message => {
  if (message === 'serve') server.listen({ fd: 3 });
  stopping = message === 'stop';
  if (stopping) server.close(() => process.exit());
});
process.send?.('booted');
