import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect } from 'vitest';
import { close } from '../../src/kernel/fd.ts';
import { Poller } from '../../src/kernel/poll.ts';
import { processIds } from '../../src/kernel/process.ts';
import { sendFds, seqpacketPair } from '../../src/kernel/scm-rights.ts';
import { type Role, Spare } from '../../src/supervise/spare.ts';
import { beginningOf, isRunBy, Standby } from '../../src/supervise/standby.ts';
import { needs } from '../tools.ts';

const { test } = needs('linux');
/** What Node calls its main thread: later versions do not leave it at the program's name. */
const NAME = execFileSync('node', ['-p', 'JSON.stringify(fs.readFileSync("/proc/self/comm", "utf8"))'], {
  encoding: 'utf8',
}).trim();
const HOOK = fileURLToPath(new URL('../../dist/hook/hook.cjs', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'standby-'));
  chmodSync(folder, 0o755);
});
afterEach(() => rmSync(folder, { recursive: true }));

function roleOf(command: string[], env: NodeJS.ProcessEnv = {}): Role {
  const own = { PATH: process.env.PATH, NODE_OPTIONS: `--require ${HOOK}` };
  return { command, cwd: folder, env: { ...own, RELISTEN_DIR: folder, RELISTEN_GENERATION: '2', ...env } };
}

/** A standby of a command, what it has written so far, and the news of it. */
class Stage {
  readonly standby: Standby;
  readonly spare: Spare;
  /** The standby's. */
  readonly gate: number;
  readonly waiting: Promise<void>;
  readonly ended: Promise<unknown[]>;
  readonly #poller = new Poller();
  readonly #files: number[];

  constructor(role: Role) {
    this.#files = [openSync('/dev/null', 'r'), openSync(join(folder, 'out'), 'w')];
    const [ours, its] = seqpacketPair();
    this.gate = ours;
    this.spare = new Spare({ stdio: [...this.#files, 2], gate: its });
    close(its);
    this.ended = once(this.spare.child, 'exit');
    const beginning = beginningOf(role);
    if (!beginning) throw new Error(`nothing would begin for ${role.command}`);
    let onWaiting = () => {};
    this.waiting = new Promise(settle => {
      onWaiting = settle;
    });
    this.standby = new Standby(this.spare, { role, beginning, gate: ours, poller: this.#poller }, () => onWaiting());
  }

  get said(): string {
    return readFileSync(join(folder, 'out'), 'utf8');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.standby.close();
    await this.spare.discard();
    this.#poller.close();
    for (const fd of this.#files) closeSync(fd);
  }
}

/** Writes a program that says how it finds itself. */
function writeProgram(version: string): void {
  const facts = [
    JSON.stringify(version),
    'process.argv[1]',
    'process.env.RELISTEN_STANDBY ?? "no gate"',
    'JSON.stringify(require("node:fs").readFileSync("/proc/self/comm", "utf8"))',
    'require("node:fs").readdirSync("/proc/self/fd").filter(fd => fd > 2 && /socket/.test(link(fd))).length',
    'process.uptime() < 10',
  ];
  const link =
    'const link = fd => { try { return require("node:fs").readlinkSync("/proc/self/fd/" + fd) } catch { return "" } }';
  writeFileSync(join(folder, 'main.cjs'), `${link}; console.log([${facts}].join(" "))`);
}

describe('a standby', () => {
  test('reads nothing of its program before it is told to, and finds itself as if it had just begun', async () => {
    writeProgram('old');
    await using stage = new Stage(roleOf(['node', 'main.cjs']));
    await stage.waiting;
    expect(stage.standby.waits).toBe(true);
    expect(readFileSync(`/proc/${stage.spare.child.pid}/comm`, 'utf8')).toBe('relisten-spare\n');
    writeProgram('new');
    expect(stage.said).toBe('');
    expect(stage.standby.begin()).toBe(true);
    expect(await stage.ended).toEqual([0, null]);
    expect(stage.said).toBe(`new ${join(folder, 'main.cjs')} no gate ${NAME} 0 true\n`);
  });

  test('that is told to go on before it waits does so', async () => {
    writeProgram('new');
    await using stage = new Stage(roleOf(['node', 'main.cjs']));
    expect(stage.standby.begin()).toBe(true);
    expect(await stage.ended).toEqual([0, null]);
    expect(stage.said).toBe(`new ${join(folder, 'main.cjs')} no gate ${NAME} 0 true\n`);
    expect(stage.standby.waits).toBe(false);
  });

  test('goes on also where it gets the processor only when its gate has been closed, and what it said was not read', async () => {
    writeProgram('new');
    await using stage = new Stage(roleOf(['node', 'main.cjs']));
    const pid = Number(stage.spare.child.pid);
    const said = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8');
    // Without this process's event loop, which would read it. What it sleeps in is about its gate then (proc_pid_syscall(5)).
    while (said('comm') !== 'relisten-spare\n' || !/^\d+ 0x3 /.test(said('syscall'))) execFileSync('true');
    stage.spare.child.kill('SIGSTOP');
    while (processIds(pid)?.state !== 'T');
    sendFds(stage.gate, Buffer.from([1]));
    stage.standby.close();
    stage.spare.child.kill('SIGCONT');
    expect(await stage.ended).toEqual([0, null]);
    expect(stage.said).toMatch(/^new /);
  });

  test.each([
    ['after', true],
    ['before', false],
  ])('ends when it is let go of %s it waits, and begins nothing', async (_, first) => {
    writeProgram('new');
    await using stage = new Stage(roleOf(['node', 'main.cjs']));
    if (first) await stage.waiting;
    stage.standby.close();
    expect(await stage.ended).toEqual([null, 'SIGKILL']);
    expect(stage.said).toBe('');
  });

  test('that has ended says so instead of going on', async () => {
    await using stage = new Stage(roleOf(['node', 'main.cjs']));
    await stage.waiting;
    stage.spare.child.kill('SIGKILL');
    await stage.ended;
    expect(stage.standby.begin()).toBe(false);
  });

  test('that has been killed, and has not had the processor since, says so, too', async () => {
    // A signal that it blocks is one that it never takes.
    const command = ['env', '--block-signal=USR2', 'sleep', '60'];
    await using stage = new Stage(roleOf(command));
    while (readFileSync(`/proc/${stage.spare.child.pid}/comm`, 'utf8') !== 'sleep\n') execFileSync('true');
    stage.spare.child.kill('SIGUSR2');
    expect(stage.standby.begin()).toBe(false);
  });

  test('is stopped and continued, and waits on', async () => {
    writeProgram('new');
    await using stage = new Stage(roleOf(['node', 'main.cjs']));
    await stage.waiting;
    stage.spare.child.kill('SIGSTOP');
    stage.spare.child.kill('SIGCONT');
    expect(stage.standby.begin()).toBe(true);
    expect(await stage.ended).toEqual([0, null]);
    expect(stage.said).toMatch(/^new /);
  });

  test('comes before whatever else the program has loaded first', async () => {
    for (const name of ['a.cjs', 'b.cjs', 'c.mjs']) writeFileSync(join(folder, name), `console.log("${name}")`);
    writeFileSync(join(folder, 'main.cjs'), 'console.log("main")');
    const NODE_OPTIONS = `--require ${HOOK} --require ${join(folder, 'a.cjs')}`;
    const command = ['node', '--require', './b.cjs', '--import', './c.mjs', 'main.cjs'];
    await using stage = new Stage(roleOf(command, { NODE_OPTIONS }));
    await stage.waiting;
    expect(stage.said).toBe('');
    stage.standby.begin();
    await stage.ended;
    expect(stage.said).toBe('a.cjs\nb.cjs\nc.mjs\nmain\n');
  });

  test('fits what would be started now, and nothing else', async () => {
    const certificates = join(folder, 'extra.pem');
    writeFileSync(certificates, '');
    const role = roleOf(['node', 'main.cjs'], { SEEN: '1', NODE_EXTRA_CA_CERTS: certificates });
    await using stage = new Stage(role);
    await stage.waiting;
    const fits = (change: Partial<Role> = {}) => stage.standby.fits({ ...role, ...change });

    expect(fits()).toBe(true);
    expect(fits({ env: Object.fromEntries(Object.entries(role.env).reverse()) })).toBe(true);
    expect(fits({ env: { ...role.env, UNSET: undefined } })).toBe(true);
    expect(fits({ env: { ...role.env, SEEN: '2' } })).toBe(false);
    expect(fits({ env: { ...role.env, RELISTEN_GENERATION: '3' } })).toBe(false);
    expect(fits({ command: ['node', 'other.cjs'] })).toBe(false);
    expect(fits({ cwd: '/' })).toBe(false);

    // Node has read it, and would go by it: `main`, `type`, `imports`.
    const ofFolder = join(folder, 'package.json');
    writeFileSync(ofFolder, '{}');
    expect(fits()).toBe(false);
    rmSync(ofFolder);
    expect(fits()).toBe(true);
    // Not compared by time alone, which a package manager sets; so each is another file from here on.
    const { mtime } = statSync(certificates);
    writeFileSync(certificates, '', { flag: 'r+' });
    utimesSync(certificates, mtime, mtime);
    expect(fits()).toBe(false);
  });

  test('fits no more once a library that it runs has been replaced, or another file that Node has read', async () => {
    const libraries = execFileSync('ldd', [process.execPath], { encoding: 'utf8' });
    const [, library = ''] = /=> (\S*libm\.so\S*)/.exec(libraries) ?? [];
    const own = join(folder, basename(library));
    copyFileSync(library, own);
    const [extra, hook] = [join(folder, 'extra.pem'), join(folder, 'hook.cjs')];
    writeFileSync(extra, '');
    writeFileSync(hook, '');
    // Relative to the directory of the program.
    const env = { LD_LIBRARY_PATH: folder, NODE_EXTRA_CA_CERTS: 'extra.pem' };
    const role = { ...roleOf(['node', 'main.cjs'], env), reads: [hook] };
    await using stage = new Stage(role);
    await stage.waiting;
    expect(stage.standby.fits(role)).toBe(true);
    for (const [file, text] of [
      [extra, 'another'],
      [hook, 'another'],
    ] as const) {
      await using other = new Stage(role);
      await other.waiting;
      writeFileSync(file, text);
      expect(other.standby.fits(role)).toBe(false);
    }
    await using last = new Stage(role);
    await last.waiting;
    expect(last.standby.fits(role)).toBe(true);
    copyFileSync(library, `${own}.new`);
    renameSync(`${own}.new`, own);
    expect(last.standby.fits(role)).toBe(false);
  });

  test('fits the directory and the file of Node that its links lead to', async () => {
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    symlinkSync(process.execPath, join(bin, 'node'));
    for (const release of ['one', 'two']) mkdirSync(join(folder, release));
    symlinkSync('one', join(folder, 'current'));
    const role = {
      ...roleOf(['node', 'main.cjs'], { PATH: `${bin}:${process.env.PATH}` }),
      cwd: join(folder, 'current'),
    };
    await using stage = new Stage(role);
    await stage.waiting;
    const fits = () => stage.standby.fits(role);
    const replace = (name: string, target: string) => {
      symlinkSync(target, join(folder, 'fresh'));
      renameSync(join(folder, 'fresh'), join(folder, name));
    };
    replace('current', 'two');
    expect(fits()).toBe(false);
    replace('current', 'one');
    copyFileSync('/bin/true', join(folder, 'true'));
    replace('bin/node', join(folder, 'true'));
    expect(fits()).toBe(false);
  });
});

describe('what a command begins with', () => {
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o755 });
    return `./${name}`;
  };

  test.each([
    ['Node', () => ['node', 'main.cjs'], true],
    ['a script that env runs', () => [write('a', '#!/usr/bin/env node\n')], true],
    ['a script that env runs with options', () => [write('b', '#!/usr/bin/env -S node --no-warnings\n')], true],
    ['a script by its path', () => [write('c', `#!${process.execPath}\n`)], true],
    ['a shell that becomes Node', () => [write('d', '#!/bin/sh\nexec node main.cjs\n')], false],
    ['a shell in so many words', () => ['sh', '-c', 'exec node main.cjs'], false],
    ['Python', () => ['python3', 'main.py'], false],
    ['nothing that is there', () => ['no-such-command'], undefined],
    ['a script of something that is not there', () => [write('e', '#!/no/such/thing\n')], undefined],
  ])('%s', (_, command, isNode) => {
    const beginning = beginningOf(roleOf(command()));
    expect(beginning && isRunBy(process.pid, beginning.program)).toBe(isNode);
  });

  test('is another thing once the file has been replaced, although its process lives', () => {
    const program = join(folder, 'node');
    copyFileSync('/bin/true', program);
    expect(isRunBy(process.pid, program)).toBe(false);
    expect(isRunBy(process.pid, '/no/such/file')).toBe(false);
    expect(isRunBy(2 ** 30, process.execPath)).toBe(false);
  });
});
