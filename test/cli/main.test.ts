import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { RELISTEN, relisten } from '../fixtures/relisten.ts';

describe('relisten', () => {
  it('prints its version on stdout', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(await relisten(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('prints the exit codes in its help, on stdout', async () => {
    const { code, stdout, stderr } = await relisten(['--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('Usage: relisten <command> [options]');
    expect(stdout).toContain('Exit codes:');
    expect(stderr).toBe('');
  });

  it.each([[['no-such-command']], [['--no-such-option']]])('answers 2 to %j and says so on stderr', async args => {
    const { code, stdout, stderr } = await relisten(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^relisten: /);
  });

  it('points to the help of the command that was meant', async () => {
    expect((await relisten(['why'])).stderr).toMatch(/\n\(relisten why --help says what it takes\)\n$/);
    expect((await relisten(['list', '--no-such'])).stderr).toMatch(/\n\(relisten list --help says what it takes\)\n$/);
  });

  it.each([[['node', 'server.js']], [['--', 'node', 'server.js']]])('says to %j how a server is run', async args => {
    const { code, stderr } = await relisten(args);
    expect(code).toBe(2);
    expect(stderr).toContain('relisten run -- node server.js;');
  });

  it('says in one line that its output cannot be written', async () => {
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [RELISTEN, 'why', '1'], { stdio: ['ignore', full, 'pipe'] });
    closeSync(full);
    const stderr = child.stderr ? text(child.stderr) : '';
    expect(await once(child, 'exit')).toEqual([1, null]);
    expect(await stderr).toBe('relisten: ENOSPC: no space left on device, write\n');
  });
});
