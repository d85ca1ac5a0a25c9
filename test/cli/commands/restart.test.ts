import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { RELISTEN } from '../../fixtures/relisten.ts';
import { freePort, Supervised } from '../../system/harness.ts';

/** The second of it takes longer than anybody waits without a word. */
const SLOW = `
  const listen = () => require('node:http').createServer().listen(Number(process.argv[1]), '127.0.0.1');
  setTimeout(listen, process.env.RELISTEN_GENERATION === '1' ? 0 : 1_500);
`;

it('says what it waits for, where that takes a while', async () => {
  await using run = new Supervised(['node', '-e', SLOW, String(await freePort())]);
  await run.started();
  const env = { ...process.env, XDG_RUNTIME_DIR: run.runtime };
  const restart = spawn(process.execPath, [RELISTEN, 'restart'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = [text(restart.stdout), text(restart.stderr)];
  expect(await once(restart, 'exit')).toEqual([0, null]);
  expect(await stderr).toMatch(/^\S+: waits until the new generation is ready; relisten status \S+ shows it\n$/);
  expect(await stdout).toMatch(/^\S+: generation 2 ready/);
  expect(await run.stop()).toMatchObject({ left: [] });
});
