import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { relisten } from '../../fixtures/relisten.ts';
import { freePort, NOBODY, type RunOptions, Supervised } from '../../system/harness.ts';
import { needs } from '../../tools.ts';

/*
 * What a supervisor is reached by may be removed while it runs: by a cleaner, by hand, with its user's last login.
 */

const AGAIN = /^relisten's files were missing in .*, and are there again$/;

async function start(options: RunOptions = {}) {
  const server = `require('node:http').createServer((_, a) => a.end()).listen(${await freePort()}, '127.0.0.1')`;
  const args = ['--name', 'web', ...(options.args ?? [])];
  const run = await new Supervised(['node', '-e', server], { ...options, args }).started();
  const own = join(run.runtime, 'relisten');
  await run.until(() => existsSync(join(own, 'web.sock')));
  const said = (pattern: RegExp, from = 0) => run.event('notice', ({ text }) => pattern.test(text), from);
  const ask = (...words: string[]) => relisten(words, { env: { XDG_RUNTIME_DIR: run.runtime } });
  return { run, own, said, ask };
}

/** Of a relisten whose first generation is ready. */
const FILES = ['web.d', 'web.d.json', 'web.d.notify-1', 'web.lock', 'web.sock'];

needs('linux').describe('relisten run makes again', () => {
  it.each([...FILES, '.'])('%s', async name => {
    const { run, own, said, ask } = await start();
    await using _ = run;
    await run.until(() => existsSync(join(own, 'web.d.json')));
    rmSync(join(own, name), { recursive: true });
    await said(AGAIN);
    expect(readdirSync(own).sort()).toEqual(FILES);
    expect(readdirSync(join(own, 'web.d'))).toContain('ready.json');
    expect(await ask('restart', 'web')).toMatchObject({ code: 0 });
    expect(await run.stop()).toMatchObject({ left: [] });
  });

  it('what is missing at a restart before that begins', async () => {
    const { run, own, said } = await start();
    await using _ = run;
    rmSync(own, { recursive: true });
    await run.restart();
    await said(AGAIN);
    const texts = run.events.flatMap(event => (event.type === 'notice' ? [event.text] : []));
    expect(texts.filter(text => !AGAIN.test(text) && text !== 'SIGHUP: restarting')).toEqual([]);
    expect(readdirSync(join(own, 'web.d'))).toContain('ready.json');
    expect(await run.stop()).toMatchObject({ left: [] });
  });

  it('what it can make no sooner, and restarts meanwhile', async () => {
    const { run, said, ask } = await start();
    await using _ = run;
    const away = `${run.runtime}.away`;
    renameSync(run.runtime, away);
    run.kill('SIGHUP');
    await said(/^relisten's files were missing in .*, and until they can be made again only signals reach it: /);
    expect(await run.event('state', ({ state, generation }) => state === 'ready' && generation === 2)).toBeDefined();
    rmSync(away, { recursive: true });
    mkdirSync(run.runtime);
    await said(AGAIN);
    expect((await ask('status')).stdout).toMatch(/^web: ready \(generation 2\)/);
    expect(await run.stop()).toMatchObject({ left: [] });
  });

  needs('root').test('what the program as another user needs', async () => {
    const { run, own, said } = await start({ args: ['--user', 'nobody'] });
    await using _ = run;
    const modes = () => [own, ...FILES.map(name => join(own, name))].map(path => statSync(path).mode.toString(8));
    const before = modes();
    rmSync(own, { recursive: true });
    await said(AGAIN);
    expect(modes()).toEqual(before);
    expect(statSync(join(own, 'web.d')).uid).toBe(NOBODY);
    expect(statSync(join(own, 'web.d.notify-1')).uid).toBe(NOBODY);
    expect(await run.stop()).toMatchObject({ left: [] });
  });
});

describe('relisten run', () => {
  needs('linux').test('is called otherwise where another has claimed its name meanwhile', async () => {
    const { run, own, said, ask } = await start();
    await using _ = run;
    run.kill('SIGSTOP');
    rmSync(own, { recursive: true });
    await using other = new Supervised(['sleep', '60'], { args: ['--name', 'web'], runtime: run.runtime });
    await other.event('spawned');
    await other.until(() => existsSync(join(own, 'web.sock')));
    run.kill('SIGCONT');
    await said(/^relisten's files were missing in .*, and another relisten is called web by now: this one is web-2$/);
    const files = () => readdirSync(own).filter(name => !name.startsWith('web-2.'));
    const before = files();
    expect(await ask('restart', 'web-2')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^web-2: /) });
    expect(JSON.parse((await ask('status', 'web', '--json')).stdout)).toMatchObject({ pid: other.pid });
    expect(await ask('stop', 'web-2')).toMatchObject({ code: 0 });
    await run.exit();
    expect(files()).toEqual(before);
    expect(await ask('stop', 'web')).toMatchObject({ code: 0 });
    expect(await other.end()).toMatchObject({ left: [] });
  });
});
