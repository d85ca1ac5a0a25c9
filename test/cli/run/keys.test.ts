import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify, stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, expect } from 'vitest';
import { RELISTEN, relisten } from '../../fixtures/relisten.ts';
import { listensNoMore } from '../../fixtures/supervised.ts';
import { freePort } from '../../system/harness.ts';
import { needs } from '../../tools.ts';

const TERMINAL = fileURLToPath(new URL('../../fixtures/terminal.py', import.meta.url));

type Step = { wait: string } | { type: string } | { hangUp: true };

let runtime = '';
beforeEach(() => {
  runtime = mkdtempSync(join(tmpdir(), 'keys-'));
});
afterEach(() => rmSync(runtime, { recursive: true }));

/** Runs a command on a terminal of its own, waits for what it prints and types; answers all that was printed. */
async function onTerminal(command: string[], steps: Step[]): Promise<{ status: number; lines: string[] }> {
  const running = promisify(execFile)('python3', [TERMINAL, ...command], {
    env: { ...process.env, XDG_RUNTIME_DIR: runtime },
  });
  running.child.stdin?.end(steps.map(step => `${JSON.stringify(step)}\n`).join(''));
  const { stdout } = await running;
  const lines = stripVTControlCharacters(stdout).trimEnd().split(/\r?\n/);
  return { ...(JSON.parse(lines.pop() ?? '') as { status: number }), lines };
}

const run = [process.execPath, RELISTEN, 'run', '--name', 'web'];

async function server(): Promise<string[]> {
  return ['--', 'python3', '-m', 'http.server', '--bind', '127.0.0.1', String(await freePort())];
}

/** A request that is answered as far as it has come, as soon as somebody listens. */
async function untilAsked(port: number): Promise<{ asked: ClientRequest; response: IncomingMessage }> {
  for (;;) {
    const asked = request({ port, method: 'POST', agent: false });
    asked.write('half');
    try {
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      return { asked, response };
    } catch {
      await delay(20);
    }
  }
}

needs('linux', 'python3').describe('keys on a terminal', () => {
  const { test } = needs('linux', 'python3');

  test('r restarts, s shows the status, q quits; they are named once', async () => {
    const { status, lines } = await onTerminal(
      [...run, ...(await server())],
      [
        { wait: 'generation 1 ready' },
        { type: 'r' },
        { wait: 'generation 1 gone' },
        { type: 's' },
        { wait: 'listeners' },
        { type: 'q' },
      ],
    );
    expect(status).toBe(0);
    expect(lines.filter(line => line.includes('r restarts, s shows the status, q quits'))).toHaveLength(1);
    expect(lines).toContain('relisten: r: restarting');
    expect(lines).toContain('web: ready (generation 2)');
    expect(lines).toContain('relisten: q: stopping');
  });

  test('a terminal that is closed ends it as a hang-up does', async () => {
    const command = [...run, ...(await server())];
    const { status } = await onTerminal(command, [{ wait: 'generation 1 ready' }, { hangUp: true }]);
    expect(status).toBe(-1); // by SIGHUP; Node 20 aborts where it exits
  });

  test('a terminal that is closed cuts no client, although the shell says so once more', async () => {
    const port = await freePort();
    const server = [
      "require('node:http').createServer((request, response) => {",
      "request.resume().on('end', () => response.end('whole'));",
      "response.write(process.ppid + ' ', () => console.log('request', 'came'));",
      `}).listen(${port})`,
    ].join(' ');
    const command = [...run, '--', process.execPath, '-e', server].map(word => `"${word}"`).join(' ');
    const steps = [{ type: `${command}\r` }, { wait: 'request came' }, { hangUp: true as const }];
    const shell = onTerminal(['bash', '--norc', '-i'], steps);
    const { asked, response } = await untilAsked(port);
    const [supervisor] = (await once(response, 'data')) as [Buffer];
    await shell;
    process.kill(Number(supervisor), 'SIGHUP'); // the shell's may have come together with the kernel's
    const { stdout } = await relisten(['status'], { env: { XDG_RUNTIME_DIR: runtime } });
    expect(stdout).toContain('draining');
    asked.end();
    expect(await text(response)).toBe('whole');
    await listensNoMore(port, Number(supervisor));
  });

  test('Ctrl-C stops, and a second one ends it at once', async () => {
    const stubborn = `process.on('SIGTERM', () => {}); require('node:net').createServer().listen(${await freePort()})`;
    const { status, lines } = await onTerminal(
      [...run, '--no-hook', '--', process.execPath, '-e', stubborn],
      [{ wait: 'generation 1 ready' }, { type: '\x03' }, { wait: 'still draining' }, { type: '\x03' }],
    );
    expect(status).toBe(-2); // by SIGINT
    expect(lines).toContain('relisten: SIGINT: stopping');
    expect(lines).toContain('relisten: still draining, for 29 s at most; SIGINT again ends it at once');
    expect(lines).toContain('relisten: SIGINT again: ending at once');
  });

  test('Ctrl-C ends the loop of a shell, too, whatever the command makes of it', async () => {
    const polite = `process.on('SIGTERM', () => process.exit(0)); require('node:net').createServer().listen(${await freePort()})`;
    const command = [...run, '--no-hook', '--', process.execPath, '-e', polite].map(word => `"${word}"`).join(' ');
    const { status, lines } = await onTerminal(
      ['bash', '-c', `for round in 1 2; do echo round $round; ${command}; done; echo went on`],
      [{ wait: 'generation 1 ready' }, { type: '\x03' }],
    );
    expect(status).toBe(-2);
    expect(lines).toContain('round 1');
    expect(lines).not.toContain('round 2');
    expect(lines).not.toContain('went on');
  });

  test('a shell gets its terminal back with Ctrl-Z, and as it was at the end', async () => {
    const command = [...run, ...(await server())].map(word => `'${word}'`).join(' ');
    const { status, lines } = await onTerminal(
      ['bash', '--norc', '-i'],
      [
        { type: `stty -a | md5sum; ${command}\r` },
        { wait: 'generation 1 ready' },
        { type: '\x1a' },
        { wait: 'Stopped' },
        { type: 'stty -a | md5sum; fg\r' },
        { type: 'r' },
        { wait: 'generation 1 gone' },
        { type: 'q' },
        { wait: 'generation 2 gone' },
        { wait: 'bash-[0-9.]+[#$] ' }, // until then relisten reads
        { type: 'stty -a | md5sum; exit 5\r' },
      ],
    );
    expect(status).toBe(5);
    const settings = lines.flatMap(line => /[0-9a-f]{32}(?= {2}-)/.exec(line) ?? []);
    expect(settings).toHaveLength(3);
    expect(new Set(settings).size).toBe(1);
  });

  test('keys work again after bg and fg', async () => {
    const command = [...run, ...(await server())].map(word => `'${word}'`).join(' ');
    const { status, lines } = await onTerminal(
      ['bash', '--norc', '-i'],
      [
        { type: `${command}\r` },
        { wait: 'generation 1 ready' },
        { type: '\x1a' },
        { wait: 'Stopped' },
        { type: 'bg\r' },
        { wait: '&' },
        { type: 'fg\r' },
        { wait: "'web'" },
        { type: 'r' },
        { wait: 'generation 1 gone' },
        { type: 'q' },
        { wait: 'generation 2 gone' },
        { wait: 'bash-[0-9.]+[#$] ' },
        { type: 'exit 5\r' },
      ],
    );
    expect(status).toBe(5);
    // The terminal may have echoed what was typed before relisten reads.
    expect(lines.join('\n')).toContain('relisten: r: restarting');
  });

  test('the program’s stdin says nothing, and does not end', async () => {
    const reads = `process.stdin.on('data', () => console.log('READ')).on('end', () => console.log('END'));
      require('node:net').createServer().listen(${await freePort()})`;
    const { lines } = await onTerminal(
      [...run, '--', process.execPath, '-e', reads],
      [{ wait: 'generation 1 ready' }, { type: 'r' }, { wait: 'generation 1 gone' }, { type: 'q' }],
    );
    expect(lines.filter(line => /READ|END/.test(line))).toEqual([]);
  });

  test('--no-keys leaves the terminal’s input to the program', async () => {
    const reads = `process.stdin.on('data', data => console.log('READ ' + data));
      require('node:net').createServer().listen(${await freePort()})`;
    const { lines } = await onTerminal(
      [...run, '--no-keys', '--', process.execPath, '-e', reads],
      [{ wait: 'generation 1 ready' }, { type: 'r\r' }, { wait: 'READ' }, { type: '\x03' }],
    );
    expect(lines).toContain('READ r');
    expect(lines.join('\n')).not.toMatch(/restarts|restarting/);
  });
});
