import { once } from 'node:events';
import { createServer } from 'node:net';

/*
 * Nobody else gets a port between the moment in which it is found and that in which it is used: it is below those that the
 * kernel gives to whoever asks for any (ip(7), ip_local_port_range), and test files that run side by side, of which
 * vitest.config.ts allows two, have shares of their own.
 */
const FIRST = 10_240;
const LAST = 32_767;
const SHARES = 3;
const SIZE = Math.floor((LAST - FIRST + 1) / SHARES);
const first = FIRST + (Number(process.env.VITEST_POOL_ID ?? 0) % SHARES) * SIZE;
const given = new Set();

/** A TCP port of loopback that nobody has now. @returns {Promise<number>} */
export async function freePort() {
  for (;;) {
    const port = first + Math.floor(Math.random() * SIZE);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
}

/** @param {number} port */
async function isFree(port) {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
