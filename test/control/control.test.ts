import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import type { Status } from '../../src/control/status.ts';
import { readUnixTable } from '../../src/kernel/proc-net.ts';
import { processIds } from '../../src/kernel/process.ts';
import type { RestartOutcome } from '../../src/supervise/events.ts';
import { relisten, startRelisten } from '../fixtures/relisten.ts';
import { freePort, NOBODY, Supervised } from '../system/harness.ts';
import { needs } from '../tools.ts';
import { ask } from './ask.ts';

/** Answers what it reads with the number of its generation, and fails to start while a file named by BROKEN exists. */
const SERVER = `
const { existsSync } = require('node:fs');
if (existsSync(process.env.BROKEN)) {
  for (let line = 1; line <= 30; line++) console.error('line ' + line);
  process.exit(3);
}
if (process.env.STUBBORN) process.on('SIGTERM', () => {});
if (process.env.STUCK && process.env.RELISTEN_GENERATION > 1) setInterval(() => {}, 1000);
else require('node:net').createServer(socket => {
  socket.on('error', () => {}).on('data', () => socket.end(process.env.RELISTEN_GENERATION));
}).listen(process.env.PORT, '127.0.0.1');
`;

/** Of what it says where it is broken, what relisten keeps. */
const LAST_LINES = Array.from({ length: 20 }, (_, index) => `line ${index + 11}`);

async function start(
  name = 'web',
  { uid, stubborn = false, stuck = false }: { uid?: number; stubborn?: boolean; stuck?: boolean } = {},
) {
  const port = await freePort();
  const broken = join(tmpdir(), `broken-${port}`);
  const run = new Supervised([process.execPath, '-e', SERVER], {
    args: ['--name', name, ...(stubborn ? ['--no-hook'] : [])],
    env: { PORT: String(port), BROKEN: broken, STUBBORN: stubborn ? '1' : '', STUCK: stuck ? '1' : '' },
    uid,
  });
  await run.started();
  const socketPath = join(run.runtime, 'relisten', `${name}.sock`);
  await run.until(() => existsSync(socketPath));
  const env = { XDG_RUNTIME_DIR: run.runtime };
  return { run, port, broken, socketPath, env };
}

async function statusOf(socketPath: string): Promise<Status> {
  return JSON.parse((await ask(socketPath, 'GET', '/status')).text);
}

/** A killed supervisor leaves the file, and nobody behind it. */
function isListening(path: string): boolean {
  return readUnixTable().some(socket => socket.path === path && socket.state === 'LISTEN');
}

async function connected(port: number) {
  const socket = connect({ port, host: '127.0.0.1' }).on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

const { describe: asRoot } = needs('linux', 'root');

asRoot('the control socket', () => {
  it('is for its user alone', async () => {
    const { run, socketPath } = await start();
    await using _ = run;
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
    expect(statSync(join(run.runtime, 'relisten')).mode & 0o077).toBe(0);
    expect(await run.stop()).toMatchObject({ left: [] });
  });

  needs('setpriv', 'curl').test('refuses other users, also where the mode was widened, and serves root', async () => {
    const { run, socketPath } = await start('web', { uid: NOBODY });
    await using _ = run;
    chmodSync(socketPath, 0o666);
    expect(await ask(socketPath, 'GET', '/status')).toMatchObject({ status: 200 });
    const argv = ['--reuid', '65533', '--regid', '65533', '--clear-groups', 'curl', '-s', '--unix-socket', socketPath];
    const [curl] = await once(spawn('setpriv', [...argv, 'http://relisten/status'], { stdio: 'ignore' }), 'exit');
    expect(curl).not.toBe(0);
    await run.stop();
  });

  it('answers GET /status with generations, listeners and connections', async () => {
    const { run, port, socketPath } = await start();
    await using _ = run;
    const clients = await Promise.all([connected(port), connected(port), connected(port)]);
    let status = await statusOf(socketPath);
    while (status.generations[0]?.connections !== 3) status = await statusOf(socketPath); // until they are accepted
    expect(status).toMatchObject({
      name: 'web',
      pid: run.pid,
      command: [process.execPath, '-e', SERVER],
      way: { intercept: true, hook: true, passed: false },
      generations: [{ generation: 1, state: 'ready', pid: run.ready?.pid, connections: 3 }],
      listeners: [{ address: `127.0.0.1:${port}`, pinned: false, generations: [1], queue: { waiting: 0, limit: 511 } }],
      restarts: 0,
      crashes: 0,
    } satisfies Partial<Record<keyof Status, unknown>>);
    for (const client of clients) client.destroy();
    await run.stop();
  });

  it('answers POST /restart when it is over: 200, or 502 with the last lines of stderr', async () => {
    const { run, broken, socketPath } = await start();
    await using _ = run;
    const good = await ask(socketPath, 'POST', '/restart');
    expect(good.status).toBe(200);
    expect(JSON.parse(good.text) as RestartOutcome).toMatchObject({ ok: true, generation: 2, pid: run.ready?.pid });
    writeFileSync(broken, '');
    try {
      const bad = await ask(socketPath, 'POST', '/restart');
      expect(bad.status).toBe(502);
      expect(JSON.parse(bad.text)).toMatchObject({
        ok: false,
        generation: 3,
        reason: 'exited with 3',
        exit: { code: 3, signal: null },
        stderr: LAST_LINES,
      });
    } finally {
      rmSync(broken);
    }
    expect(run.ready?.generation).toBe(2);
    expect(await run.stop()).toMatchObject({ left: [] });
  });

  it('answers requests that come during a restart together, after one more', async () => {
    const { run, socketPath } = await start();
    await using _ = run;
    const answers = await Promise.all([1, 2, 3, 4].map(() => ask(socketPath, 'POST', '/restart')));
    const generations = answers.map(({ text }) => (JSON.parse(text) as RestartOutcome).generation).sort();
    expect(generations).toEqual([2, 3, 3, 3]);
    await run.stop();
  });

  it('answers POST /stop when all is over, and refuses a restart meanwhile', async () => {
    const { run, socketPath } = await start('web', { stubborn: true });
    await using _ = run;
    const stopped = ask(socketPath, 'POST', '/stop');
    await run.event('state', ({ state }) => state === 'draining');
    expect(await ask(socketPath, 'POST', '/restart')).toMatchObject({ status: 409 });
    expect(await ask(socketPath, 'POST', '/stop?now')).toMatchObject({ status: 200 });
    const { status, text } = await stopped;
    expect({ status, end: JSON.parse(text) }).toEqual({ status: 200, end: { code: 137 } });
    expect(await run.end()).toMatchObject({ left: [] });
  });

  it('answers restarts that it can no longer do: 502 to the one under way, 409 to those after it', async () => {
    const { run, socketPath } = await start('web', { stuck: true });
    await using _ = run;
    const first = ask(socketPath, 'POST', '/restart');
    await run.event('spawned', ({ generation }) => generation === 2);
    const second = ask(socketPath, 'POST', '/restart');
    while ((await statusOf(socketPath)).restarts < 2);
    const stopped = ask(socketPath, 'POST', '/stop');
    expect((await Promise.all([first, second, stopped])).map(({ status }) => status)).toEqual([502, 409, 200]);
    expect(await run.end()).toMatchObject({ left: [] });
  });

  it('streams events as they come, and says the end', async () => {
    const { run, socketPath } = await start();
    await using _ = run;
    const asked = request({ socketPath, path: '/events', agent: false }).end();
    const [response] = await once(asked, 'response');
    expect(response.headers['content-type']).toBe('text/event-stream');
    let text = '';
    response.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    await ask(socketPath, 'POST', '/restart');
    await Promise.all([once(response, 'end'), run.stop()]);
    const events = [...text.matchAll(/^event: (.*)\ndata: (.*)\n\n/gm)].map(([, type, data]) => [
      type,
      JSON.parse(data ?? ''),
    ]);
    expect(events).toContainEqual(['state', expect.objectContaining({ generation: 2, state: 'ready' })]);
    expect(events.at(-1)).toEqual(['end', { code: expect.any(Number) }]);
  });

  it('goes on with who follows it where its path was removed', async () => {
    const { run, socketPath } = await start();
    await using _ = run;
    const asked = request({ socketPath, path: '/events', agent: false }).end();
    const [response] = await once(asked, 'response');
    rmSync(socketPath);
    await run.event('notice', ({ text }) => text.endsWith('and are there again'));
    expect(await statusOf(socketPath)).toMatchObject({ pid: run.pid });
    const [followed] = await Promise.all([text(response), run.stop()]);
    expect(followed).toMatch(/^event: state\ndata: .*"draining"/m);
    expect(followed).toMatch(/\nevent: end\ndata: .*\n\n$/);
  });

  it('measures for Prometheus', async () => {
    const { run, port, socketPath } = await start();
    await using _ = run;
    await ask(socketPath, 'POST', '/restart');
    const { headers, text } = await ask(socketPath, 'GET', '/metrics');
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    for (const line of [
      'relisten_info{name="web",version=".*",intercept="true"} 1',
      'relisten_generation 2',
      'relisten_generations{state="ready"} 1',
      'relisten_connections{generation="2",state="ready"} 0',
      `relisten_accept_queue_limit{address="127.0.0.1:${port}"} 511`,
      'relisten_restart_requests_total 1',
      'relisten_crashes_total 0',
      'relisten_start_seconds_count \\d',
    ]) {
      expect(text).toMatch(new RegExp(`^${line.replace(/[{}]/g, '\\$&')}$`, 'm'));
    }
    await run.stop();
  });

  it('says what there is to whoever asks for something else', async () => {
    const { run, socketPath } = await start();
    await using _ = run;
    expect(await ask(socketPath, 'GET', '/')).toMatchObject({
      status: 404,
      text: expect.stringContaining('GET /status'),
    });
    expect(await ask(socketPath, 'GET', '/restart')).toMatchObject({ status: 405, headers: { allow: 'POST' } });
    await run.stop();
  });

  it('is replaced where a dead supervisor has left one', async () => {
    const { run, socketPath } = await start();
    await using _ = run;
    run.look();
    run.kill('SIGKILL');
    await run.until(() => processIds(run.pid)?.zombie !== false);
    expect(existsSync(socketPath)).toBe(true);
    await using next = new Supervised(['sleep', '60'], { args: ['--name', 'web'], runtime: run.runtime });
    await next.event('spawned');
    await next.until(() => isListening(socketPath));
    expect(JSON.parse((await ask(socketPath, 'GET', '/status')).text)).toMatchObject({ pid: next.pid });
    expect(await ask(socketPath, 'POST', '/stop?now')).toMatchObject({ status: 200 });
    await next.exit();
    await run.exit(); // the server had its stdout and stderr
  });
});

asRoot('relisten list, status, restart and stop', () => {
  it('need no name where only one runs', async () => {
    const { run, env } = await start();
    await using _ = run;
    const status = await relisten(['status'], { env });
    expect(status).toMatchObject({ code: 0, stderr: '' });
    expect(status.stdout).toMatch(/^web: ready \(generation 1\)\n {2}command/);
    expect(await relisten(['restart'], { env })).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^web: generation 2 ready \(pid \d+, .*\)\n$/),
      // Where it takes more than a second.
      stderr: expect.stringMatching(/^(?:web: waits until .*\n)?$/),
    });
    expect(JSON.parse((await relisten(['list', '--json'], { env })).stdout)).toMatchObject([{ name: 'web' }]);
    expect(await relisten(['stop'], { env })).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^web: stopped/),
    });
    expect(await run.end()).toEqual({ code: 0, signal: null, left: [] });
  });

  it('exits with 1 when the new generation failed, says why, and that the old one goes on', async () => {
    const { run, port, broken, env } = await start();
    await using _ = run;
    writeFileSync(broken, '');
    const failed = await relisten(['restart', 'web'], { env });
    const json = await relisten(['restart', '--json'], { env });
    rmSync(broken);
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    expect(failed.stderr).toMatch(/web was not restarted: generation 2 failed after .*: exited with 3/);
    expect(failed.stderr).toMatch(/Generation 1 \(pid \d+\) goes on as before\./);
    expect([...failed.stderr.matchAll(/^ {2}\| (.*)$/gm)].map(([, line]) => line)).toEqual(LAST_LINES);
    expect(json).toMatchObject({ code: 1 });
    expect(JSON.parse(json.stdout)).toMatchObject({ ok: false, stderr: LAST_LINES });
    const client = await connected(port);
    client.write('?');
    expect(await text(client)).toBe('1');
    await run.stop();
  });

  it('say what a stop waits for, and end it at once with --now', async () => {
    await using run = new Supervised(['sh', '-c', "trap '' TERM; sleep 60"], { args: ['--name', 'deaf'] });
    await run.event('spawned');
    const env = { XDG_RUNTIME_DIR: run.runtime };
    await run.until(() => isListening(join(run.runtime, 'relisten/deaf.sock')));
    const waits = startRelisten(['stop'], { env });
    await waits.said(/^deaf: waits until what it started has ended; relisten status deaf shows it\n/);
    expect(await relisten(['stop', '--now'], { env })).toMatchObject({ code: 0 });
    expect(await waits.outcome).toMatchObject({ code: 0, stdout: expect.stringMatching(/^deaf: stopped/) });
    expect(await run.end()).toMatchObject({ left: [] });
  });

  it('ask for a name where several run, and list them', async () => {
    const first = await start('first');
    await using _ = first.run;
    await using second = new Supervised(['sleep', '60'], { args: ['--name', 'second'], runtime: first.run.runtime });
    await second.event('spawned');
    await second.until(() => existsSync(join(first.run.runtime, 'relisten/second.sock')));
    const { env } = first;
    expect(await relisten(['restart'], { env })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('More than one relisten runs here, name one: first, second'),
    });
    expect(await relisten(['status', 'third'], { env })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('No relisten is called third, but there is first, second'),
    });
    expect((await relisten(['list'], { env })).stdout).toMatch(/^NAME .*\nfirst +ready .*\nsecond +starting .*\n$/);
    expect((await relisten(['status', 'second'], { env })).code).toBe(1);
    expect(await relisten(['stop', 'second', '--now'], { env })).toMatchObject({ code: 0 });
    await second.exit();
    await first.run.stop();
  });
});

describe('without a supervisor', () => {
  it('nothing is made by who only looks', async () => {
    const runtime = mkdtempSync(join(tmpdir(), 'empty-'));
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    const env = { XDG_RUNTIME_DIR: runtime };
    for (const args of [['list'], ['status'], ['restart', 'web'], ['stop'], ['why', String(port)]]) {
      await relisten(args, { env });
    }
    listener.close();
    expect(readdirSync(runtime)).toEqual([]);
    rmSync(runtime, { recursive: true });
  });

  it.each([['status'], ['restart'], ['stop']])('relisten %s answers 1', async command => {
    expect(await relisten([command])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^relisten: No relisten runs here \(in \/.*\/relisten\)\n$/),
    });
  });

  it('relisten list lists nobody', async () => {
    expect(await relisten(['list'])).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringMatching(/^No relisten runs here \(in \/.*\/relisten\)\n$/),
    });
    expect(await relisten(['list', '--json'])).toMatchObject({ code: 0, stdout: '[]\n' });
  });
});
