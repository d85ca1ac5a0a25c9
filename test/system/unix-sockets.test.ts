import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { needs } from '../tools.ts';
import { ask, FreshClients, httpGet, queueClients, type Tally } from './clients.ts';
import { freePort, NOBODY, type RunOptions, Supervised } from './harness.ts';
import { LISTENS_PY, runListens, whoAnswered } from './listens.ts';
import { nginxConf, serverFolder } from './servers.ts';

const LOOKS_FIRST_PY = fileURLToPath(new URL('../fixtures/servers/looks-first.py', import.meta.url));
const RESTARTS = 4;
const UNIX_JS = fileURLToPath(new URL('../fixtures/servers/unix.js', import.meta.url));

/** Clients the whole time; a path may be missing for the moment between the program's own unlink and bind. */
async function restartUnderClients(run: Supervised, path: string): Promise<Tally> {
  await run.started();
  const clients = new FreshClients({ path }, httpGet, 4);
  for (let restart = 0; restart < RESTARTS; restart++) {
    await run.restart();
    await clients.more(20);
  }
  return clients.stop();
}

interface Case {
  name: string;
  tools: string[];
  start(path: string, folder: string, options: RunOptions): Supervised;
}

const CASES: Case[] = [
  {
    name: 'a Python server that unlinks and binds',
    tools: ['python3'],
    start: (path, _folder, options) => runListens(`unix:${path}`, { ...options, env: { UNLINK: '1' } }),
  },
  {
    name: 'a Node server, which unlinks on close',
    tools: [],
    start: (path, _folder, options) => new Supervised([process.execPath, UNIX_JS, path], options),
  },
  {
    name: 'nginx, which unlinks at its end',
    tools: ['nginx'],
    start: (path, folder, options) =>
      new Supervised(['nginx', '-e', 'stderr', '-p', folder, '-c', nginxConf(`unix:${path}`, folder)], {
        ...options,
        args: ['--stop-signal', 'QUIT'],
      }),
  },
];

for (const { name, tools, start } of CASES) {
  for (const [who, options] of [
    ['root', {}],
    ['an ordinary user', { uid: NOBODY }],
  ] as const) {
    needs('linux', 'root', ...tools).test(`${name} keeps its socket reachable, as ${who}`, async () => {
      using made = serverFolder();
      const path = join(made.folder, 'app.sock');
      await using run = start(path, made.folder, options);
      const { ok, refused, reset, eof, timeout, other, details } = await restartUnderClients(run, path);
      expect({ reset, eof, timeout, other, details }).toMatchObject({ reset: 0, eof: 0, timeout: 0, other: 0 });
      expect(ok).toBeGreaterThan(50);
      // The instant between an unlink and its repair, on a machine that is busy.
      expect({ refused: refused <= 10 * RESTARTS, details }).toMatchObject({ refused: true });
      expect(await run.stop()).toMatchObject({ left: [] });
      expect(readdirSync(made.folder).filter(file => file.includes('app.sock'))).toEqual([]);
    });
  }
}

needs('linux', 'python3').test('an abstract socket is held as any other', async () => {
  const name = `relisten-test-${process.pid}`;
  await using run = runListens(`unix:@${name}`);
  expect(await restartUnderClients(run, `\0${name}`)).toMatchObject({ refused: 0, reset: 0, eof: 0, details: [] });
  expect(await run.stop()).toMatchObject({ left: [] });
});

needs('linux', 'python3').test('a server that leaves its stale path behind starts again all the same', async () => {
  using made = serverFolder();
  const path = join(made.folder, 'app.sock');
  await using run = runListens(`unix:${path}`);
  await run.started();
  const inode = statSync(path).ino;
  await run.restart();
  expect(statSync(path).ino).toBe(inode);
  expect(whoAnswered((await ask({ path }, httpGet)).answer).generation).toBe(2);
  expect(await run.stop()).toMatchObject({ left: [] });
  expect(existsSync(path)).toBe(false);
});

function stopFirst(run: Supervised): void {
  run.kill('SIGHUP');
  process.kill(run.ready?.pid ?? 0, 'SIGCONT');
}

for (const [what, args, order] of [
  ['crashed', [], run => process.kill(run.ready?.pid ?? 0, 'SIGKILL')],
  ['is restarted stop-first', ['--strategy', 'stop-first'], stopFirst],
] as [string, string[], (run: Supervised) => void][]) {
  needs('linux', 'python3').test(
    `a server that looks whether somebody answers starts again after it ${what}`,
    async () => {
      using made = serverFolder();
      const path = join(made.folder, 'app.sock');
      await using run = await new Supervised(['python3', LOOKS_FIRST_PY, path], { args }).started();
      const failures = () => run.events.filter(event => event.type === 'state' && event.state === 'failed').length;
      const again = async () => {
        const from = run.events.length;
        process.kill(run.ready?.pid ?? 0, 'SIGSTOP'); // for clients to wait in the queue
        const waiting = await queueClients({ path }, httpGet, 5);
        order(run);
        await run.event('state', ({ state }) => state === 'ready', from);
        const { refused, reset, eof, timeout, other } = await waiting.outcome;
        expect({ refused, timeout, other }).toEqual({ refused: 0, timeout: 0, other: 0 });
        expect(reset + eof).toBeLessThanOrEqual(1); // the one that it was answering
      };
      await again();
      expect(failures()).toBe(1);
      await run.event('notice', ({ text }) => text.includes(`looks whether somebody answers at ${path}`));
      // Now it is known.
      await again();
      await again();
      expect(failures()).toBe(1);
      expect(whoAnswered((await ask({ path }, httpGet)).answer).generation).toBe(run.ready?.generation);
      expect(await run.stop()).toMatchObject({ left: [] });
      expect(readdirSync(made.folder).filter(file => file.includes('app.sock'))).toEqual([]);
    },
  );
}

needs('linux', 'python3').test(
  'a server that fails without a look keeps its clients waiting in the queue',
  async () => {
    using made = serverFolder();
    const path = join(made.folder, 'app.sock');
    const broken = join(made.folder, 'broken');
    const command = ['sh', '-c', `[ -e ${broken} ] && exit 3; exec python3 ${LISTENS_PY}`];
    await using run = await runListens(`unix:${path}`, {}, command).started();
    writeFileSync(broken, '');
    process.kill(run.ready?.pid ?? 0, 'SIGKILL');
    await run.event('state', ({ generation, state }) => generation === 2 && state === 'failed');
    const clients = new FreshClients({ path }, httpGet, 250); // no more of them than its backlog
    await run.event('state', ({ generation, state }) => generation === 4 && state === 'failed');
    rmSync(broken);
    await clients.more(10);
    expect(await clients.stop()).toMatchObject({ refused: 0, reset: 0, eof: 0, timeout: 0, other: 0, details: [] });
    expect(await run.stop()).toMatchObject({ left: [] });
  },
);

/** Listens under a temporary name, renames it, and only then says where it serves TCP. */
const RENAMES = `
  const { createServer } = require('node:http');
  const [path, temporary, port] = [process.argv[1], process.argv[2].replace('PID', process.pid), Number(process.argv[3])];
  const answer = (_, response) => response.end(process.env.RELISTEN_GENERATION);
  createServer(answer).listen(temporary, () => {
    require('node:fs').renameSync(temporary, path);
    createServer(answer).listen(port, '127.0.0.1');
  });
`;

for (const temporary of ['app.sock.PID.tmp', 'app.sock.tmp']) {
  const name = `a socket that is bound as ${temporary} and renamed is its generation's own, and nobody waits for it`;
  needs('linux').test(name, async () => {
    // Where names that have a pid in them are not anyhow taken for private ones.
    const folder = mkdtempSync(join('/dev/shm', 'relisten-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'app.sock');
    const [port, bound] = [await freePort(), join(folder, temporary)];
    await using run = await new Supervised([process.execPath, '-e', RENAMES, path, bound, String(port)]).started();
    await run.event('listening', ({ address }) => address === `127.0.0.1:${port}`);
    if (temporary.includes('PID')) expect(run.events.filter(({ type }) => type === 'listening')).toHaveLength(1);
    for (let generation = 2; generation < 4; generation++) {
      await run.restart();
      const { answer } = await ask({ path }, httpGet);
      expect(answer.endsWith(`${generation}\r\n0\r\n\r\n`) || answer.endsWith(`\r\n\r\n${generation}`)).toBe(true);
    }
    const notices = run.events.flatMap(event => (event.type === 'notice' ? [event.text] : []));
    expect(notices.filter(text => !text.startsWith('SIGHUP'))).toEqual([]);
    expect(await run.stop()).toMatchObject({ left: [] });
  });
}
