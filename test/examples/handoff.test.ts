import net from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { freePort, Supervised } from '../fixtures/supervised.ts';
import { needs } from '../tools.ts';

const PYTHON = fileURLToPath(new URL('../../examples/handoff.py', import.meta.url));
const NODE = fileURLToPath(new URL('../fixtures/programs/serving.mjs', import.meta.url));

/** Each generation is written in the other language. */
const ALTERNATING =
  'if [ $((RELISTEN_GENERATION % 2)) = 1 ]; then exec python3 "$0" "$PORT"; else exec node "$1" tcp; fi';

needs('python3').test('a server in Python and one in Node hand their connections to each other', async () => {
  const port = await freePort();
  const supervised = new Supervised(['sh', '-c', ALTERNATING, PYTHON, NODE], { env: { PORT: String(port) } });
  const client = new net.Socket();
  try {
    await supervised.ready();
    client.connect(port, '127.0.0.1');
    const lines = createInterface({ input: client })[Symbol.asyncIterator]();
    for (let generation = 1; generation <= 4; generation++) {
      client.write('x\n');
      expect((await lines.next()).value).toBe(`${generation} ${generation}`);
      await supervised.restart();
      await supervised.exited(generation);
    }
    client.write('x\n');
    expect((await lines.next()).value).toBe('5 5');
  } finally {
    client.destroy();
    await supervised.stop();
  }
});
