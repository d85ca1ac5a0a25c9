import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../../scripts/free-port.js';
import { parseClass } from '../../src/cli/prove-options.ts';
import type { Proof } from '../../src/prove/proof.ts';
import { RELISTEN, relisten } from '../fixtures/relisten.ts';

/** A server of its own process: after SIGHUP it drops every connection for 100 ms, which is what a bad restart looks like. */
const SERVER = `
let down = false;
const server = require('node:http').createServer((request, response) => {
  request.resume().on('end', () => {
    if (down) return request.socket.destroy();
    if (request.url === '/slow') return response.writeHead(404).end();
    response.setHeader('x-generation', '1').end('hello');
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.on('SIGHUP', () => {
  down = true;
  server.closeAllConnections();
  setTimeout(() => (down = false), 100);
});
`;

let url: string;
let server: ReturnType<typeof spawn>;
let folder: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'prove-'));
  server = spawn(process.execPath, ['-e', SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = server.stdout ? await once(server.stdout, 'data') : [];
  url = `http://localhost:${String(port).trim()}`;
});

afterEach(async () => {
  server.kill('SIGKILL');
  await once(server, 'close');
  rmSync(folder, { recursive: true, force: true });
});

const QUICK = ['--warm-up', '500ms', '--pause', '400ms', '--least', '300ms'];
const shell = (restart: string, ...more: string[]) => ['prove', '--url', url, '--restart', restart, ...QUICK, ...more];

describe('relisten prove --url --restart', () => {
  test('passes when nobody notices, and says which class took no part', async () => {
    const { code, stdout, stderr } = await relisten(shell('true', '--restarts', '2'));
    expect(stdout).toMatch(/^PASSED {2}None of [\d,]+ requests failed in 2 restarts$/m);
    expect(stdout).toMatch(/^failures +none$/m);
    expect(stderr).toBe('relisten: slow takes no part: GET /slow answers 404\n');
    expect(code).toBe(0);
  });

  test('fails when requests are lost, names them, and writes what it saw as JSON and as a page', async () => {
    const page = join(folder, 'report.html');
    const lossy = `kill -HUP ${server.pid}`;
    const many = ['--load', 'keep-alive-heavy', '--restarts', '5', '--json', '--html', page];
    const { code, stdout } = await relisten(shell(lossy, ...many));
    const proof = JSON.parse(stdout) as Proof;
    expect(code).toBe(1);
    expect(proof.restarts).toHaveLength(5);
    expect(proof.verdict).toMatchObject({ ok: false, failed: proof.load.failed });
    expect(proof.load.failed).toBeGreaterThan(0);
    // How many of the 150 were idle just then depends on the machine.
    expect(proof.load.closedWhileIdle).toBeGreaterThan(0);
    expect(proof.load.classes[0]?.phases.restart.failed).toBeGreaterThan(0);
    expect(proof.load.generations).toMatchObject([{ generation: '1' }]);
    expect(readFileSync(page, 'utf8')).toContain('5 restarts of localhost:');
  });

  test('passes again when that many losses are allowed', async () => {
    const { code, stdout } = await relisten(shell(`kill -HUP ${server.pid}`, '--restarts', '1', '--allow', '1000'));
    expect(stdout).toMatch(/PASSED/);
    expect(code).toBe(0);
  });

  test('says what a restart that failed said', async () => {
    const { code, stdout } = await relisten(shell('echo no such unit >&2; exit 5', '--restarts', '1', '--json'));
    const proof = JSON.parse(stdout) as Proof;
    expect(proof.restarts).toMatchObject([{ ok: false, detail: 'exit code 5: no such unit' }]);
    expect(proof.verdict.reason).toMatch(/^1 of 1 restarts failed/);
    expect(code).toBe(1);
  });

  test('stops at its deadline, and ends what the restart was doing', async () => {
    const { code, stdout } = await relisten(shell('sleep 3600', '--deadline', '1500ms'));
    expect(stdout).toMatch(/FAILED {2}Stopped after 0 of 10 restarts/);
    expect(code).toBe(1);
  });

  test('takes the load down on Ctrl-C, and reports what it saw', async () => {
    const child = spawn(process.execPath, [RELISTEN, ...shell('sleep 3600', '--json')], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    child.stdout.on('data', chunk => (stdout += chunk));
    // The class that takes no part is named when the load begins.
    await once(child.stderr, 'data');
    child.kill('SIGINT');
    expect(await once(child, 'close')).toEqual([null, 'SIGINT']);
    expect((JSON.parse(stdout) as Proof).verdict.ok).toBe(false);
  });
});

describe('relisten prove -- <command>', () => {
  // The hook is the drain's matter; here the listener that is held is what counts.
  const OURS = ['--warm-up', '500ms', '--pause', '400ms', '--load', 'keep-alive-heavy', '--rate', '0.2', '--json'];
  const APP = `
    const server = require('node:http').createServer((request, response) => {
      request.resume().on('end', () => response.setHeader('x-generation', process.env.RELISTEN_GENERATION).end('hello'));
    });
    server.listen(Number(process.argv[1]), '127.0.0.1');
  `;
  const app = async () => [process.execPath, '-e', APP, String(await freePort())];

  test('finds where it listens, restarts it, and tells what each generation did', async () => {
    const { code, stdout } = await relisten([
      'prove',
      ...OURS,
      '--restarts',
      '2',
      '--allow',
      '1000',
      '--',
      ...(await app()),
    ]);
    const proof = JSON.parse(stdout) as Proof;
    expect(proof.verdict).toMatchObject({ ok: true });
    expect(proof.restarts).toMatchObject([
      { ok: true, generation: '2' },
      { ok: true, generation: '3' },
    ]);
    expect(proof.load.generations.map(one => one.generation)).toEqual(['1', '2', '3']);
    expect(proof.load.failures.refused).toBeUndefined();
    const states = proof.events.filter(event => event.generation === '2').map(({ state }) => state);
    expect(states).toEqual(['starting', 'ready', 'draining', 'exited']);
    expect(proof.events[0]?.at).toBeLessThan(0);
    expect(code).toBe(0);
  });

  test('--kill kills it, and it comes again: nobody is refused', async () => {
    const killed = ['prove', ...OURS, '--kill', '--restarts', '2', '--allow', '1000', '--', ...(await app())];
    const proof = JSON.parse((await relisten(killed)).stdout) as Proof;
    expect(proof.restarts.map(({ ok }) => ok)).toEqual([true, true]);
    expect(proof.load.failures.refused).toBeUndefined();
    const states = proof.events.filter(event => event.generation === '1').map(({ state }) => state);
    expect(states).toEqual(['starting', 'ready', 'exited']);
  });

  test('waits for a server that is ready, by another listener, before it listens at --url', async () => {
    const [first, port] = [await freePort(), await freePort()];
    const late = `
      const { createServer } = require('node:http');
      const listen = port => createServer((request, response) => request.resume().on('end', () => response.end())).listen(port, '127.0.0.1');
      listen(${first});
      setTimeout(listen, process.env.RELISTEN_GENERATION === '1' ? 500 : 0, ${port});`;
    const url = ['--url', `http://127.0.0.1:${port}/`];
    const { code, stderr } = await relisten([
      'prove',
      ...OURS,
      '--restarts',
      '1',
      ...url,
      '--',
      process.execPath,
      '-e',
      late,
    ]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
  });

  test.each([
    ['does not exist', ['no-such-command'], 127, /Cannot prove no-such-command/],
    ['ends at once', [process.execPath, '-e', 'throw new Error("no luck")'], 1, /no luck/],
    ['never listens where anybody could tell', [process.execPath, '-e', 'console.log(1)'], 1, /relisten run ended/],
  ])('a command that %s is an error that says so', async (_what, command, code, message) => {
    const outcome = await relisten(['prove', ...OURS, '--', ...command]);
    expect(outcome.stderr).toMatch(message);
    expect(outcome.code).toBe(code);
  });
});

describe('relisten prove refuses', () => {
  test.each([
    ['nothing to restart', [], 2, /no command and no --url/],
    ['no way to restart it', ['--url', 'http://127.0.0.1:1'], 2, /--url without --restart/],
    [
      'two things to restart',
      ['--url', 'http://127.0.0.1:1', '--restart', 'true', '--', 'node'],
      2,
      /--restart with a command/,
    ],
    ['another host', ['--url', 'http://192.0.2.1', '--restart', 'true'], 2, /an address of this host; --remote/],
    [
      'a target that nobody answers at',
      ['--url', 'http://127.0.0.1:1', '--restart', 'true'],
      1,
      /nobody listens there/,
    ],
    ['https', ['--url', 'https://127.0.0.1', '--restart', 'true'], 2, /a plain URL/],
    ['a load that is none', ['--load', 'heavy', '--', 'node'], 2, /Allowed choices/],
    ['half a restart', ['--restarts', '0.5', '--', 'node'], 2, /whole number of at least 1/],
    [
      'a page where there is no folder',
      ['--html', '/no/such/x.html', '--url', 'http://127.0.0.1:1', '--restart', 'true'],
      1,
      /Cannot write/,
    ],
  ])('%s', async (_what, args, code, message) => {
    const outcome = await relisten(['prove', ...args]);
    expect(outcome.stderr).toMatch(message);
    expect(outcome.code).toBe(code);
    expect(outcome.stdout).toBe('');
  });

  test('a load of which the server can answer nothing', async () => {
    const { code, stderr } = await relisten(shell('true', '--class', 'fresh,path=/slow'));
    expect(stderr).toMatch('even without a restart, fresh: GET /slow answers 404');
    expect(code).toBe(1);
  });
});

test('a class of clients is its kind and what is special about it', () => {
  expect(parseClass('slow,rate=5,path=/a?b=c,status=206')).toEqual([
    { kind: 'slow', rate: 5, path: '/a?b=c', expectStatus: 206 },
  ]);
  expect(parseClass('tcp,connections=3', [{ kind: 'fresh', rate: 1 }])).toHaveLength(2);
  expect(() => parseClass('fresh,speed=3')).toThrow(/with the keys name, rate/);
  expect(() => parseClass('fresh,rate=fast')).toThrow(/Invalid rate/);
});
