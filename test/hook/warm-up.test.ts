import { get } from 'node:https';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { CERTIFICATE } from '../drain/certificate.ts';
import { freePort, Supervised } from '../fixtures/supervised.ts';
import { FreshClients, httpGet } from '../system/clients.ts';

const PROGRAM = fileURLToPath(new URL('../fixtures/programs/warm.cjs', import.meta.url));

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Told {
  generation: string;
  asked: Record<string, number>;
  peers: string[];
}

async function supervise(warmHttp: string[], args: string[] = []) {
  const port = await freePort();
  const options = { env: { PORT: String(port) }, supervise: { warmHttp, standbyMs: 0 } };
  const supervised = new Supervised(['node', PROGRAM, ...args], options);
  cleanups.push(() => supervised.stop());
  await supervised.ready();
  const headers = { connection: 'close' };
  const told = async () => (await fetch(`http://127.0.0.1:${port}/told`, { headers })).json() as Promise<Told>;
  /** Until the old one is gone. */
  const restart = async (generation: number) => {
    await supervised.restart();
    await supervised.exited(generation - 1);
  };
  return { supervised, port, told, restart };
}

test('a new generation answers requests of its own before it listens, while the old one serves', async () => {
  const { supervised, port, told, restart } = await supervise(['/', 'POST /search?q=1']);
  expect(await told()).toEqual({ generation: '1', asked: {}, peers: [] });
  const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
  for (const generation of [2, 3]) {
    await supervised.stoodBy();
    await restart(generation);
    const asked = { 'GET /': 200, 'POST /search?q=1': 200 };
    expect(await told()).toEqual({ generation: `${generation}`, asked, peers: ['127.0.0.1'] });
    await clients.more(3);
  }
  expect(await clients.stop()).toMatchObject({ refused: 0, reset: 0, eof: 0, timeout: 0, other: 0 });
  expect(supervised.stderr).toBe('');
});

test('one of https does, too', async () => {
  const { supervised, port, restart } = await supervise(['/'], ['https', CERTIFICATE.cert, CERTIFICATE.key]);
  await restart(2);
  const answer = await new Promise<string>((fulfil, reject) => {
    const options = { port, path: '/told', ca: CERTIFICATE.cert, servername: 'localhost', agent: false };
    get(options, response => text(response).then(fulfil, reject)).on('error', reject);
  });
  expect(JSON.parse(answer)).toMatchObject({ generation: '2', asked: { 'GET /': 200 } });
  expect(supervised.stderr).toBe('');
});

test('it says what is not answered as hoped, and serves all the same', async () => {
  const { supervised, told, restart } = await supervise(['/none', '/']);
  await restart(2);
  expect(await told()).toMatchObject({ generation: '2', asked: { 'GET /': 200, 'GET /none': 200 } });
  expect(supervised.stderr).toContain('RelistenWarning: --warm-http: /none is answered with 404');
});

test('what is never answered holds it up for three seconds', async () => {
  const { supervised, told, restart } = await supervise(['/never']);
  await restart(2);
  expect(await told()).toMatchObject({ generation: '2', asked: { 'GET /never': 4 } });
  expect(supervised.stderr).toContain('RelistenWarning: --warm-http: /never is not answered');
});

test('where nobody serves it listens at once', async () => {
  const { supervised, told } = await supervise(['/']);
  const { pid } = await supervised.until(({ state }) => state === 'ready');
  process.kill(Number(pid), 'SIGKILL');
  await supervised.ready(2);
  expect(await told()).toMatchObject({ generation: '2', asked: {} });
});

test('what is closed meanwhile does not listen, and what is told to listen again does so once', async () => {
  const { supervised, told, restart } = await supervise(['/'], ['twice']);
  await restart(2);
  expect(await told()).toMatchObject({ generation: '2' });
  expect(supervised.stderr).toBe('listening\nlistening\n'); // one of each generation
});
