import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { needs } from '../tools.ts';
import { FreshClients, httpGet } from './clients.ts';
import { freePort, NOBODY } from './harness.ts';
import { runListens } from './listens.ts';

/*
 * As in a container with no-new-privileges, or a systemd service with NoNewPrivileges=yes: whoever starts relisten has
 * set no_new_privs for good (prctl(2), PR_SET_NO_NEW_PRIVS).
 */

const NOBODY_LOST = { refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] };
const { test } = needs('root', 'setpriv', 'python3');

for (const [who, uid] of [
  ['root', 0],
  ['an ordinary user', NOBODY],
] as const) {
  test(`a restart as ${who} under no_new_privs is intercepted, and loses nobody`, async () => {
    const port = await freePort();
    await using run = runListens(`127.0.0.1:${port}`, { uid, noNewPrivileges: true });
    await run.started();
    expect(readFileSync(`/proc/${run.pid}/status`, 'utf8')).toMatch(/^NoNewPrivs:\t1$/m);
    const clients = new FreshClients({ port, host: '127.0.0.1' }, httpGet);
    await clients.more(10);
    expect(await run.restart()).toMatchObject({ generation: 2 });
    await clients.more(20);
    expect(await clients.stop()).toMatchObject(NOBODY_LOST);
    const { way } = await run.event('supervising');
    expect(way).toMatchObject({ intercept: true });
    expect(run.events.filter(({ type }) => type === 'unintercepted')).toEqual([]);
    expect(await run.stop()).toMatchObject({ code: 0, left: [] });
  });
}
