import { createServer } from 'node:http';
import { app } from './app.js';

/*
 * The same app with what the ways of restarting ask of a server: it stops accepting when it is told to end, answers what
 * is in flight and goes; it says when it is ready; it listens on what it inherits.
 */

/** A connection that was busy stays open after its answer, and its client may keep it busy: somebody must end that. */
const DEADLINE_MS = 2_000;

/** sd_listen_fds(3), or Server::Starter's `127.0.0.1:3000=3`. */
function inherited() {
  if (process.env.LISTEN_FDS) return 3;
  const fd = process.env.SERVER_STARTER_PORT?.split('=')[1];
  return fd === undefined ? undefined : Number(fd);
}

const server = createServer(app);
const fd = inherited();
const place = { port: Number(process.env.PORT), host: '127.0.0.1', reusePort: process.env.REUSE_PORT === '1' };
server.listen(fd === undefined ? place : { fd }, () => {
  process.send?.('ready');
  console.log('listening');
});
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => {
    server.close(() => process.exit());
    setTimeout(() => process.exit(1), DEADLINE_MS);
  });
}
