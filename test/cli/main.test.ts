import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { relisten } from '../fixtures/relisten.ts';

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
    expect(stderr).toMatch(/^error: /);
  });
});
