import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RELISTEN, relisten } from '../../fixtures/relisten.ts';
import { freePort, NOBODY, Supervised } from '../../system/harness.ts';
import { needs } from '../../tools.ts';

let closed = '';
beforeAll(() => {
  closed = mkdtempSync(join(tmpdir(), 'closed-'));
  chmodSync(closed, 0o700);
});
afterAll(() => rmSync(closed, { recursive: true }));

interface Case {
  what: string;
  args?: () => string[];
  command?: string[];
  code: number;
  says: RegExp;
}

const CASES: Case[] = [
  {
    what: 'a command that does not exist',
    command: ['no-such-command'],
    code: 127,
    says: /Cannot run no-such-command/,
  },
  { what: 'a command that is not executable', command: ['/etc/passwd'], code: 126, says: /not executable/ },
  { what: 'a command that exits at once', command: ['sh', '-c', 'exit 7'], code: 7, says: /exited with 7/ },
  { what: 'a command that a signal ends', command: ['sh', '-c', 'kill -KILL $$'], code: 137, says: /ended by SIGKILL/ },
  {
    what: 'a command that never listens',
    args: () => ['--ready-timeout', '200ms'],
    command: ['sleep', '60'],
    code: 1,
    says: /Not ready within 0.2 s: it never listened/,
  },
  {
    what: 'a cwd that does not exist',
    args: () => ['--cwd', '/no/such'],
    code: 2,
    says: /\/no\/such: it does not exist/,
  },
  { what: 'a cwd that is a file', args: () => ['--cwd', '/etc/passwd'], code: 2, says: /\/etc\/passwd: / },
  { what: 'a port out of range', args: () => ['-p', '70000'], code: 2, says: /Invalid address: "70000"/ },
  { what: 'a port of 0', args: () => ['-p', '127.0.0.1:0'], code: 2, says: /Invalid port/ },
  { what: 'an address twice', args: () => ['-p', '4000', '-p', 'web=4000'], code: 2, says: /each address once/ },
  { what: 'a regex that does not compile', args: () => ['--ready-line', '/(/'], code: 2, says: /Invalid --ready-line/ },
  { what: 'an unknown user', args: () => ['--user', 'no-such-user'], code: 2, says: /Invalid user: "no-such-user"/ },
  { what: 'a duration that is none', args: () => ['--drain', 'soon'], code: 2, says: /Invalid --drain: "soon"/ },
  { what: 'a standby of no time', args: () => ['--standby'], command: ['x'], code: 2, says: /Invalid --standby: "--"/ },
  {
    what: 'a strategy that is none',
    args: () => ['--strategy', 'none'],
    code: 2,
    says: /Invalid --strategy: "none", expected overlap or stop-first/,
  },
  { what: 'a signal that is none', args: () => ['--stop-signal', 'NONE'], code: 2, says: /Invalid --stop-signal/ },
  { what: 'a name that is none', args: () => ['--name', '../x'], code: 2, says: /Invalid name/ },
  { what: 'a count that is none', args: () => ['--give-up', '0'], code: 2, says: /a whole number from 1/ },
  {
    what: 'a path to warm up with that is none',
    args: () => ['--warm-http', 'x'],
    code: 2,
    says: /a path such as \/, or/,
  },
  {
    what: 'a warm-up by nobody',
    args: () => ['--warm-http', '/', '--no-hook'],
    code: 2,
    says: /Invalid --warm-http: "\/", expected nothing together with --no-hook, which/,
  },
  {
    what: 'a warm-up while nobody serves',
    args: () => ['--warm-http', '/', '--strategy', 'stop-first'],
    code: 2,
    says: /nothing together with --strategy stop-first, in which nobody serves meanwhile/,
  },
  {
    what: 'a slow start of one that has nobody beside it',
    args: () => ['--slow-start', '5s', '--strategy', 'stop-first'],
    code: 2,
    says: /Invalid --slow-start: "5\.0 s", expected nothing together with --strategy stop-first, in which the old one/,
  },
  { what: 'a probe that is none', args: () => ['--ready-http', 'health'], code: 2, says: /a path such as \/health/ },
];

const USERS = [
  { who: 'root', uid: 0 },
  { who: 'an ordinary user', uid: NOBODY },
];

for (const { who, uid } of USERS) {
  const { describe } = needs('root', 'setpriv');
  describe(`relisten run as ${who}`, () => {
    it.each(CASES)('answers $code to $what, says so, and leaves nothing', async ({ args, command, code, says }) => {
      await using run = new Supervised(command ?? ['true'], { args: args?.() ?? [], uid });
      expect(await run.end()).toEqual({ code, signal: null, left: [] });
      expect(run.transcript()).toMatch(says);
    });
  });
}

describe('relisten run', () => {
  it.each([
    [['run'], /Invalid command: "", expected the server's own command behind --: relisten run -- node server.js\n$/],
    [['run', '--watch', 'node', 'o.js'], /behind --, after the globs of --watch \(node o\.js\): /],
    [['take', '3000', '-n', 'web', '--', 'node'], /Invalid command: "-n", expected options in front of all else/],
    [['take', '3000'], /Invalid command: "", expected/],
  ])('answers 2 to %j', async (args, says) => {
    const { code, stderr } = await relisten(args);
    expect(code).toBe(2);
    expect(stderr).toMatch(says);
  });

  it('answers 2 to an env file that is missing; Node 20 and 22 look for it themselves, and answer 9', async () => {
    await using run = new Supervised(['true'], { args: ['--env-file', '/no/.env'] });
    expect(await run.end()).toMatchObject({ code: expect.toBeOneOf([2, 9]), left: [] });
    expect(run.transcript()).toMatch(/\/no\/.env/);
  });

  const { test: asRoot } = needs('root', 'setpriv');

  asRoot('answers 2 to a cwd that it may not read', async () => {
    await using run = new Supervised(['true'], { args: ['--cwd', closed], uid: NOBODY });
    expect((await run.end()).code).toBe(2);
    expect(run.transcript()).toMatch(/permission denied/);
  });

  asRoot('answers 1 to a runtime directory that is not its own', async () => {
    const identity = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];
    const child = spawn('setpriv', [...identity, process.execPath, RELISTEN, 'run', '--', 'true'], {
      env: { ...process.env, XDG_RUNTIME_DIR: closed },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^relisten: Cannot use .*: EACCES; look at XDG_RUNTIME_DIR, it must exist and be your own\n$/,
    );
  });

  asRoot('answers 1 to a /run that cannot be written, and says how to do without', async () => {
    const { XDG_RUNTIME_DIR: _, ...env } = process.env;
    const readOnly = 'mount -t tmpfs -o ro none /run; exec "$@"';
    const command = ['--mount', 'sh', '-c', readOnly, 'sh', process.execPath, RELISTEN, 'run', '--', 'true'];
    const child = spawn('unshare', command, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
    expect(code).toBe(1);
    expect(stderr).toBe(
      'relisten: Cannot make /run/relisten: EROFS; set XDG_RUNTIME_DIR to a directory of your own that can be written\n',
    );
  });

  asRoot('says that --evict is not to be had without the right to it', async () => {
    await using run = new Supervised(['true'], { args: ['--evict'], uid: NOBODY });
    await run.end();
    expect(run.transcript()).toMatch(/--evict needs CAP_NET_ADMIN/);
  });

  asRoot('answers 1 to --user without the right to become it', async () => {
    await using run = new Supervised(['true'], { args: ['--user', 'root'], uid: NOBODY });
    expect((await run.end()).code).toBe(1);
    expect(run.transcript()).toMatch(/only root may become another user/);
  });

  it('says which other relisten holds an address of -p, and leaves that one alone', async () => {
    const port = await freePort();
    await using first = new Supervised(['sleep', '60'], { args: ['--name', 'first', '-p', `127.0.0.1:${port}`] });
    await first.event('held');
    await using second = new Supervised(['true'], { args: ['-p', `127.0.0.1:${port}`], runtime: first.runtime });
    await second.exit();
    expect(second.lines.join('\n')).toMatch(/the relisten first \(pid \d+\) holds it/);
    expect(second.events.filter(event => event.type === 'spawned')).toEqual([]);
    expect((await first.stop()).left).toEqual([]);
  });

  it('says which other relisten holds an address that the program binds', async () => {
    const port = await freePort();
    const server = ['python3', '-m', 'http.server', '--bind', '127.0.0.1', String(port)];
    await using first = await new Supervised(server, { args: ['--name', 'first'] }).started();
    await using second = new Supervised(server, { runtime: first.runtime });
    expect(await second.event('blocked')).toMatchObject({ reason: expect.stringContaining('the relisten first (pid') });
    await second.exit();
    expect((await first.stop()).left).toEqual([]);
  });

  it('refuses the name of another that runs, when it was asked for', async () => {
    await using first = new Supervised(['sleep', '60'], { args: ['--name', 'same'] });
    await first.event('spawned');
    await using second = new Supervised(['true'], { args: ['--name', 'same'], runtime: first.runtime });
    expect(await second.exit()).toEqual([1, null]);
    expect(second.transcript()).toMatch(/Cannot use the name same: a relisten that runs has it/);
    await first.stop();
  });

  it('takes the next free name, when none was asked for', async () => {
    await using first = new Supervised(['sleep', '60']);
    await using second = new Supervised(['sleep', '60'], { runtime: first.runtime });
    const names = [await first.event('supervising'), await second.event('supervising')].map(({ name }) => name);
    expect(names.sort()).toEqual(['sleep', 'sleep-2']);
    second.kill('SIGTERM');
    await second.exit();
    await first.stop();
  });
});
