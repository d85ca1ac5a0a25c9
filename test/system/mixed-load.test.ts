import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect } from 'vitest';
import type { LoadResult } from '../../src/prove/result.ts';
import { RELISTEN } from '../fixtures/relisten.ts';
import { needs } from '../tools.ts';
import { freePort } from './harness.ts';

const MIXED = fileURLToPath(new URL('../fixtures/servers/mixed.js', import.meta.url));
const { test } = needs('linux');

/** Proves restarts of the server under these classes of clients. */
async function prove(
  classes: (http: number, tcp: number) => string[],
  env: NodeJS.ProcessEnv = {},
): Promise<LoadResult> {
  const [http, tcp] = [await freePort(), await freePort()];
  const options = classes(http, tcp).flatMap(each => ['--class', each]);
  // A verdict of failure is an exit code, which the promise would throw away with the report.
  const allow = ['--allow', '1000000', '--restarts', '4', '--json'];
  const ready = ['--run-option=--ready-line', '--run-option=both listen'];
  const command = ['--', process.execPath, MIXED];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [RELISTEN, 'prove', ...allow, ...ready, ...options, ...command],
    { env: { ...process.env, ...env, HTTP_PORT: String(http), TCP_PORT: String(tcp) }, maxBuffer: 1 << 26 },
  );
  const { load } = JSON.parse(stdout) as { load: LoadResult };
  return load;
}

/** Names what was lost, where anything was. */
function lost(load: LoadResult): { name: string; failures: unknown }[] {
  return load.classes.filter(each => each.failed > 0).map(({ name, failures }) => ({ name, failures }));
}

describe('restarts of an express server that knows nothing of relisten', () => {
  test('lose nothing of any client, and close no idle connection', { timeout: 120_000 }, async () => {
    const load = await prove((http, tcp) => [
      `fresh,rate=50,target=${http}`,
      `keep-alive-get,rate=80,connections=20,target=${http}`,
      `keep-alive-post,rate=50,connections=20,target=${http}`,
      `slow,rate=5,target=${http}`,
      `websocket,rate=20,connections=5,path=/ws,target=${http}`,
      `tcp,rate=40,connections=10,target=${tcp}`,
    ]);
    expect(lost(load).filter(({ name }) => name !== 'websocket')).toEqual([]);
    // A message that crosses the server's Close 1012 has no answer (RFC 6455 section 5.5.1): the client knows, and sends
    // it again. Nothing else may become of one.
    const websocket = load.classes.find(({ kind }) => kind === 'websocket');
    expect(Object.keys(websocket?.failures ?? {}).filter(kind => kind !== 'eof')).toEqual([]);
    expect(load.generations.length).toBe(5);
    const kept = load.classes.filter(({ kind }) => kind.startsWith('keep-alive') || kind === 'tcp');
    expect(kept.map(({ name, closedWhileIdle }) => ({ name, closedWhileIdle }))).toEqual([
      { name: 'keep-alive-get', closedWhileIdle: 0 },
      { name: 'keep-alive-post', closedWhileIdle: 0 },
      { name: 'tcp', closedWhileIdle: 0 },
    ]);
    // They go on in the next generation, rather than being told to come again: 160 were open in the four restarts.
    expect(kept.reduce((sum, { closedAnnounced }) => sum + closedAnnounced, 0)).toBeLessThan(16);
  });

  test('lose nothing where every request costs a millisecond of processor', { timeout: 120_000 }, async () => {
    const load = await prove(
      http => [
        `keep-alive-get,rate=100,connections=50,target=${http}`,
        `keep-alive-post,rate=40,connections=25,target=${http}`,
      ],
      { BUSY_MS: '1' },
    );
    expect(lost(load)).toEqual([]);
    expect(load.closedWhileIdle).toBe(0);
  });
});
