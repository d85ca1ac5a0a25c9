import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deadServer, leaveFinWait2 } from '../../fixtures/leftover.ts';
import { ask, httpGet } from '../../system/clients.ts';
import { freePort, NOBODY, Supervised } from '../../system/harness.ts';
import { needs } from '../../tools.ts';

/** Says its environment and arguments to whoever asks; without STUBBORN it ends at SIGTERM with STATUS. */
const SERVER = `
const said = JSON.stringify({ env: process.env, argv: process.argv.slice(1) });
if (process.env.STUBBORN) process.on('SIGTERM', () => {});
else if (process.env.STATUS) process.on('SIGTERM', () => process.exit(Number(process.env.STATUS)));
require('node:http').createServer((_, response) => response.end(said)).listen(process.env.PORT, '127.0.0.1');
`;

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'orders-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Start {
  args?: string[];
  env?: NodeJS.ProcessEnv;
  own?: string[];
  uid?: number;
}

async function start({ args = [], env = {}, own = [], uid }: Start = {}) {
  const port = await freePort();
  const run = new Supervised([process.execPath, '-e', SERVER, ...own], {
    args: ['--no-hook', ...args],
    env: { ...env, PORT: String(port) },
    uid,
  });
  const said = async () => {
    const { answer } = await ask({ port, host: '127.0.0.1' }, httpGet);
    return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as { env: NodeJS.ProcessEnv; argv: string[] };
  };
  return { run: await run.started(), said };
}

const isReady = (generation: number) => (event: { generation: number; state: string }) =>
  event.generation === generation && event.state === 'ready';

const { describe: asRoot } = needs('linux', 'root');

for (const [who, uid] of [
  ['root', 0],
  ['an ordinary user', NOBODY],
] as const) {
  needs('linux', 'root', 'setpriv').describe(`signals, as ${who}`, () => {
    it.each(['SIGHUP', 'SIGUSR2'] as const)('%s restarts', async signal => {
      const { run } = await start({ uid });
      await using _ = run;
      run.kill(signal);
      await run.event('state', isReady(2));
      expect(await run.stop()).toEqual({ code: null, signal: 'SIGTERM', left: [] });
    });

    it.each([
      ['by SIGTERM', {}],
      ['with 0', { STATUS: '0' }],
    ])('SIGINT ends it by SIGINT where the command ends %s', async (_, env) => {
      const { run } = await start({ env, uid });
      await using __ = run;
      expect(await run.stop('SIGINT')).toEqual({ code: null, signal: 'SIGINT', left: [] });
    });

    it('SIGTERM ends it by SIGTERM where the command ends by its stop signal', async () => {
      const { run } = await start({ args: ['--stop-signal', 'SIGINT'], uid });
      await using _ = run;
      expect(await run.stop()).toEqual({ code: null, signal: 'SIGTERM', left: [] });
    });

    it('SIGTERM ends it by SIGTERM where the command exits with 143 for it, as Java does', async () => {
      const { run } = await start({ env: { STATUS: '143' }, uid });
      await using _ = run;
      expect(await run.stop()).toEqual({ code: null, signal: 'SIGTERM', left: [] });
    });

    it.each(['SIGTERM', 'SIGINT'] as const)('%s drains, and ends with the status of the command', async signal => {
      const { run } = await start({ env: { STATUS: '9' }, uid });
      await using _ = run;
      expect(await run.stop(signal)).toEqual({ code: 9, signal: null, left: [] });
      expect(run.events).toContainEqual(expect.objectContaining({ type: 'state', generation: 1, state: 'draining' }));
    });

    it('a second one ends it at once', async () => {
      const { run } = await start({ env: { STUBBORN: '1' }, uid });
      await using _ = run;
      run.kill('SIGTERM');
      await run.event('notice', ({ text }) => text.startsWith('still draining'));
      expect(await run.stop('SIGINT')).toEqual({ code: 137, signal: null, left: [] });
    });

    it('a second one in the same moment is the same order', async () => {
      const { run } = await start({ env: { STUBBORN: '1' }, uid });
      await using _ = run;
      run.kill('SIGTERM');
      await run.event('state', ({ state }) => state === 'draining');
      run.kill('SIGTERM');
      run.kill('SIGINT');
      await run.event('notice', ({ text }) => text.startsWith('still draining'));
      expect(run.events.filter(({ type }) => type === 'cut')).toEqual([]);
      expect(await run.stop()).toEqual({ code: 137, signal: null, left: [] });
    });
  });
}

asRoot('the command', () => {
  it('gets its own options as they are, and the number of its generation', async () => {
    const { run, said } = await start({ own: ['--', '--json', '-p', '1', '--', 'x y'] });
    await using _ = run;
    expect(await said()).toMatchObject({ env: { RELISTEN_GENERATION: '1' }, argv: ['--json', '-p', '1', '--', 'x y'] });
    await run.restart();
    expect((await said()).env.RELISTEN_GENERATION).toBe('2');
    await run.stop();
  });

  it('gets the env file as it is at each start', async () => {
    const file = join(folder, '.env');
    writeFileSync(file, 'COLOUR=red\nSIZE=10\n');
    const { run, said } = await start({ args: ['--env-file', file], env: { SHAPE: 'round' } });
    await using _ = run;
    expect((await said()).env).toMatchObject({ COLOUR: 'red', SIZE: '10', SHAPE: 'round' });
    writeFileSync(file, 'COLOUR=blue\n');
    await run.restart();
    const { env } = await said();
    expect(env).toMatchObject({ COLOUR: 'blue', SHAPE: 'round' });
    expect(env).not.toHaveProperty('SIZE');
    await run.stop();
  });

  it('runs as --user, in --cwd', async () => {
    const { run, said } = await start({ args: ['--user', 'nobody', '--cwd', '/usr'] });
    await using _ = run;
    expect((await said()).env).toMatchObject({ USER: 'nobody' });
    const { pid = 0 } = run.ready ?? {};
    const { readlinkSync, statSync } = await import('node:fs');
    expect(readlinkSync(`/proc/${pid}/cwd`)).toBe('/usr');
    expect(statSync(`/proc/${pid}`).uid).toBe(NOBODY);
    await run.stop();
  });

  it('ends relisten with 0 when it exits with 0 by itself', async () => {
    await using run = new Supervised(['sh', '-c', 'exit 0']);
    expect(await run.end()).toEqual({ code: 0, signal: null, left: [] });
    const failed = await run.event('state', ({ state }) => state === 'failed');
    expect(failed.reason).toBe('exited with 0 before it listened on anything to hold');
  });

  it('is only said not to have been ready where it listened, or that cannot be seen', async () => {
    const listen = ['node', '-e', "require('node:net').createServer().listen(process.argv[1], () => process.exit(0))"];
    for (const args of [
      ['--ready-line', 'ready'],
      ['--no-intercept', '--no-hook', '--ready-line', 'ready'],
    ]) {
      await using run = new Supervised([...listen, String(await freePort())], { args });
      expect(await run.end()).toEqual({ code: 0, signal: null, left: [] });
      const failed = await run.event('state', ({ state }) => state === 'failed');
      expect(failed.reason).toBe('exited with 0 before it was ready');
    }
  });

  it('ends relisten with its status after --give-up failures in a row', async () => {
    const broken = join(folder, 'broken');
    const script = `[ -e ${broken} ] && exit 4; touch ${broken}; exec python3 -m http.server --bind 127.0.0.1 ${await freePort()}`;
    await using run = new Supervised(['sh', '-c', script], { args: ['--give-up', '3'] });
    await run.started();
    process.kill(run.ready?.pid ?? 0, 'SIGKILL');
    expect(await run.end()).toEqual({ code: 4, signal: null, left: [] });
    expect(run.events.filter(({ type }) => type === 'backoff')).toHaveLength(2);
  });

  it('is ready without interception when it listens', async () => {
    const { run } = await start({ args: ['--no-intercept'] });
    await using _ = run;
    expect(run.events[0]).toMatchObject({ type: 'supervising', way: { intercept: false, hook: false } });
    await run.stop();
  });
});

asRoot('-p', () => {
  it('can be told to end while it waits for a TIME_WAIT socket', async () => {
    const { host, port } = deadServer();
    await using run = new Supervised(['true'], { args: ['-p', `${host}:${port}`] });
    expect((await run.event('waiting')).address).toBe(`${host}:${port}`);
    expect(await run.stop()).toEqual({ code: 0, signal: null, left: [] });
    expect(run.events.filter(({ type }) => type === 'spawned')).toEqual([]);
  });

  it('is held before a restart that is asked for while it is waited for', async () => {
    const { address, release } = leaveFinWait2(2);
    const { host, port } = address;
    const args = ['--no-hook', '-p', `${host}:${port}`];
    await using run = new Supervised([process.execPath, '-e', SERVER], { args, env: { PORT: String(port) } });
    await run.event('waiting');
    run.kill('SIGHUP');
    await run.event('notice', ({ text }) => text === 'SIGHUP: restarting');
    await run.started();
    release();
    const steps = run.events.filter(({ type }) => type === 'held' || type === 'spawned').map(({ type }) => type);
    expect(steps).toEqual(['held', 'spawned']);
    expect(run.ready).toMatchObject({ generation: 1 });
    expect(await run.stop()).toMatchObject({ left: [] });
    expect(run.events.filter(event => event.type === 'state' && event.state === 'starting')).toHaveLength(1);
  });
});

asRoot('--watch', () => {
  it('restarts when a file changes, and once more for a change during the restart', async () => {
    const file = join(folder, 'a.js');
    const { run } = await start({ args: ['--watch', '--cwd', folder] });
    await using _ = run;
    await run.event('notice', ({ text }) => text.startsWith('Watching')); // where no file matches yet
    writeFileSync(file, '1');
    await run.event('state', ({ generation, state }) => generation === 2 && state === 'starting');
    writeFileSync(file, '2');
    await run.event('state', isReady(3));
    expect(run.events).toContainEqual(expect.objectContaining({ type: 'notice', text: 'a.js changed: restarting' }));
    await run.stop();
  });

  it('outlives a first start that fails, until a change mends it', async () => {
    writeFileSync(join(folder, 'server.js'), 'process.exit(5)');
    await using run = new Supervised([process.execPath, 'server.js'], { args: ['--watch', '*.js', '--cwd', folder] });
    await run.event('state', ({ state }) => state === 'failed');
    await run.event('watching');
    writeFileSync(join(folder, 'server.js'), `require('node:net').createServer().listen(${await freePort()})`);
    await run.event('state', isReady(2));
    expect(await run.stop()).toMatchObject({ left: [] });
  });
});

describe('the output', () => {
  it('is one line an event on stderr, and what the program says stays what it is', async () => {
    const { startRelisten } = await import('../../fixtures/relisten.ts');
    const script = `console.log('to stdout'); console.error('to stderr'); require('node:net').createServer().listen(${await freePort()})`;
    const run = startRelisten(['run', '--name', 'web', '--', process.execPath, '-e', script]);
    await run.said(/ready/);
    run.child.kill('SIGTERM');
    const { stdout, stderr } = await run.outcome;
    expect(run.child.signalCode).toBe('SIGTERM');
    expect(stdout).toBe('to stdout\n');
    const lines = stderr.split('\n').filter(line => line !== 'to stderr');
    expect(lines.map(line => line.replace(/\d+(\.\d)? m?s\b|(?<=pid |\]:)\d+/g, '#'))).toEqual([
      'relisten: this is web (pid #); bind(2) and listen(2) are intercepted, Node programs load the hook',
      'relisten: generation 1 starting',
      'relisten: generation 1 listens on [::]:#: held from now on',
      'relisten: generation 1 ready (pid #, #)',
      'relisten: SIGTERM: stopping',
      'relisten: generation 1 draining',
      'relisten: generation 1 gone after #',
      '',
    ]);
  });

  it('is only what went wrong with --quiet', async () => {
    const { relisten } = await import('../../fixtures/relisten.ts');
    const { code, stderr } = await relisten(['run', '--quiet', '--', 'sh', '-c', 'exit 3']);
    expect(code).toBe(3);
    expect(stderr).toMatch(/^relisten: generation 1 failed after .*: exited with 3\n$/);
  });

  needs('busybox').test('may lose its reader', async () => {
    const { startRelisten } = await import('../../fixtures/relisten.ts');
    // A server that says nothing, or it is the one that ends.
    const run = startRelisten(['run', '--', 'busybox', 'httpd', '-f', '-p', `127.0.0.1:${await freePort()}`]);
    await run.said(/ready/);
    run.child.stderr?.destroy();
    run.child.stdout?.destroy();
    run.child.kill('SIGHUP');
    run.child.kill('SIGTERM');
    await run.outcome;
    expect(run.child.signalCode).toBe('SIGTERM');
  });

  /** Answers when it has said more than any pipe holds. */
  const talkative = (port: number) => `
    const words = ('x'.repeat(1023) + '\\n').repeat(1024);
    require('node:http').createServer((_, response) => {
      process.stderr.write(words, () => response.end());
    }).listen(${port}, '127.0.0.1', () => console.log('listens'))`;

  it('may lose its reader, a socket, while the program goes on to talk', async () => {
    const { startRelisten } = await import('../../fixtures/relisten.ts');
    const port = await freePort();
    const run = startRelisten(['run', '--', process.execPath, '-e', talkative(port)]);
    await run.said(/ready/);
    run.child.stderr?.destroy();
    expect(await ask({ port, host: '127.0.0.1' }, httpGet)).toMatchObject({ fate: 'ok' });
    run.child.kill('SIGTERM');
    await run.outcome;
    expect(run.child.signalCode).toBe('SIGTERM');
  });

  needs('linux', 'bash').test('may lose its reader, a pipe, while the program goes on to talk', async () => {
    const port = await freePort();
    const under = ['bash', '-c', 'exec "$@" 2> >(exec head -n 1 >&2)', 'bash'];
    await using run = new Supervised([process.execPath, '-e', talkative(port)], { under });
    await run.until(() => run.stdout.includes('listens'));
    expect(await ask({ port, host: '127.0.0.1' }, httpGet)).toMatchObject({ fate: 'ok' });
    expect(await run.stop()).toMatchObject({ signal: 'SIGTERM', left: [] });
  });

  needs('linux', 'busybox').test('may have a reader that reads no more', async () => {
    const { relisten } = await import('../../fixtures/relisten.ts');
    const port = await freePort();
    const path = join(folder, 'fifo');
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const loud = `head -c 300000 /dev/zero | tr '\\0' x >&2 & exec busybox httpd -f -p 127.0.0.1:${port}`;
    await using run = new Supervised(['sh', '-c', loud], {
      under: ['sh', '-c', 'exec "$@" 2> "$0"', path],
      args: ['--name', 'web', '--drain', '100ms'],
    });
    const env = { XDG_RUNTIME_DIR: run.runtime };
    await run.until(() => existsSync(join(run.runtime, 'relisten', 'web.sock')));
    for (const generation of [2, 3]) {
      const { code, stdout } = await relisten(['restart', 'web'], { env });
      expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining(`generation ${generation}`) });
    }
    expect(await run.stop()).toMatchObject({ signal: 'SIGTERM', left: [] });
    closeSync(reader);
  });
});
