import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeRuntimeDirectory, namesWith, runtimeDirectory } from '../../src/supervise/runtime-dir.ts';

const given = process.env.XDG_RUNTIME_DIR;
let base = '';
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'base-'));
  process.env.XDG_RUNTIME_DIR = base;
});
afterEach(() => {
  process.env.XDG_RUNTIME_DIR = given;
  rmSync(base, { recursive: true });
});

describe('runtimeDirectory', () => {
  it('is named, not made', () => {
    expect(runtimeDirectory()).toBe(join(base, 'relisten'));
    expect(existsSync(join(base, 'relisten'))).toBe(false);
  });

  it.each([
    ['a file', () => writeFileSync(join(base, 'relisten'), ''), /^Cannot use .*: it is no directory$/],
    ['a link', () => symlinkSync(base, join(base, 'relisten')), /^Cannot use .*: it is no directory$/],
  ])('is refused where it is %s', (_, make, says) => {
    make();
    expect(runtimeDirectory).toThrow(says);
  });

  it('is refused where it cannot be looked into', () => {
    process.env.XDG_RUNTIME_DIR = '/etc/passwd';
    expect(runtimeDirectory).toThrow('Cannot use /etc/passwd/relisten: ENOTDIR; look at XDG_RUNTIME_DIR');
  });
});

describe('makeRuntimeDirectory', () => {
  it('makes it for us alone, and takes one that is there as it is', () => {
    const path = runtimeDirectory();
    makeRuntimeDirectory(path);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    chmodSync(path, 0o711);
    makeRuntimeDirectory(path);
    expect(statSync(path).mode & 0o777).toBe(0o711);
  });

  it('does not make what it is to be in', () => {
    expect(() => makeRuntimeDirectory(join(base, 'no', 'relisten'))).toThrow(
      /^Cannot make .*: ENOENT; look at XDG_RUNTIME_DIR, it must exist and be your own$/,
    );
  });
});

describe('namesWith', () => {
  it('finds the names of the files with an ending, and none where there is no directory', () => {
    mkdirSync(join(base, 'relisten'));
    for (const file of ['web.sock', 'web.lock', 'a.b.lock']) writeFileSync(join(base, 'relisten', file), '');
    expect(namesWith('.lock', join(base, 'relisten')).sort()).toEqual(['a.b', 'web']);
    expect(namesWith('.lock', join(base, 'other'))).toEqual([]);
  });
});
