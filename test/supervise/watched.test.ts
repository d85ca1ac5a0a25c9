import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Watched } from '../../src/supervise/watched.ts';

const FILES = {
  '.gitignore': 'dist/\n*.gen.ts\nbuild\n',
  'sub/.gitignore': '!build\n',
  'src/a.ts': '',
  'src/a.gen.ts': '',
  'src/b.json': '',
  'dist/o.js': '',
  'node_modules/x/i.js': '',
  'sub/build/k.js': '',
  'out.log': '',
  '.env': '',
};

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'watched-'));
  mkdirSync(join(folder, '.git'));
  for (const [file, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
});
afterAll(() => rm(folder, { recursive: true }));

describe('Watched', () => {
  it.each<[globs: string[], has: string[]]>([
    [[], ['.env', '.gitignore', 'src/a.ts', 'src/b.json', 'sub/.gitignore', 'sub/build/k.js']],
    [['src'], ['src/a.ts', 'src/b.json']],
    [['./src/'], ['src/a.ts', 'src/b.json']],
    [['src/a.ts'], ['src/a.ts']],
    [['src/**/*.ts'], ['src/a.ts']],
    [
      ['*.ts', '*.js'],
      ['src/a.ts', 'sub/build/k.js'],
    ],
    [['src', '!*.json'], ['src/a.ts']],
    [
      ['!src', '!.gitignore'],
      ['.env', 'sub/build/k.js'],
    ],
    [['dist'], ['dist/o.js']],
    [['dist/**'], ['dist/o.js']],
    [['node_modules/x'], ['node_modules/x/i.js']],
    [['nothing'], []],
  ])('means with %j %j', (globs, has) => {
    const watched = new Watched(folder, globs);
    expect(
      Object.keys(FILES)
        .filter(file => watched.has(join(folder, file)))
        .sort(),
    ).toEqual(has);
  });

  it('reaches directories outside its own', () => {
    const watched = new Watched(join(folder, 'sub'), ['../src', '../dist/*.js']);
    expect(Object.keys(FILES).filter(file => watched.has(join(folder, file)))).toEqual([
      'src/a.ts',
      'src/b.json',
      'dist/o.js',
    ]);
  });

  it('has a file that is named beside the globs, whatever ignores it', () => {
    const watched = new Watched(folder, ['src'], [join(folder, 'out.log')]);
    expect(watched.has(join(folder, 'out.log'))).toBe(true);
    expect(watched.starts).toEqual([join(folder, 'src'), folder]);
  });

  it.each([
    ['src', true],
    ['sub/build', true],
    ['dist', false],
    ['node_modules', false],
    ['.git', false],
  ])('enters %s without a glob: %j', (directory, enters) => {
    expect(new Watched(folder, []).enters(join(folder, directory))).toBe(enters);
  });

  it('starts at the directory above the first wildcard, or the nearest that there is', () => {
    expect(new Watched(folder, ['src/*.ts', 'sub/build/later/x.js', '.env']).starts).toEqual([
      join(folder, 'src'),
      join(folder, 'sub/build'),
      folder,
    ]);
  });
});
