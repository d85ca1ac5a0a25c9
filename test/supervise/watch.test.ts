import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { watch } from '../../src/supervise/watch.ts';

let folder = '';
let close: () => Promise<void> = async () => {};
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'watch-'));
  mkdirSync(join(folder, 'src'));
  writeFileSync(join(folder, 'src/a.js'), '1');
  writeFileSync(join(folder, '.gitignore'), '*.out\n');
});
afterEach(async () => {
  await close();
  rmSync(folder, { recursive: true });
});

/** Changes that were told, a list each; `next` waits for one. */
async function start(globs: string[], files: string[] = []) {
  const told: string[][] = [];
  let wake = () => {};
  const watcher = watch({
    directory: folder,
    globs,
    files,
    onChange: paths => {
      told.push(paths.sort());
      wake();
    },
    onError: error => {
      throw error;
    },
  });
  close = watcher.close;
  const next = async () => {
    while (told.length === 0) {
      await new Promise<void>(fulfil => {
        wake = fulfil;
      });
    }
    return told.shift();
  };
  return { count: await watcher.ready, next };
}

describe('watch', () => {
  it('tells together what changes together', async () => {
    const { count, next } = await start(['src']);
    expect(count).toBe(1);
    writeFileSync(join(folder, 'src/a.js'), '2');
    writeFileSync(join(folder, 'src/b.js'), '2');
    expect(await next()).toEqual(['src/a.js', 'src/b.js']);
  });

  it('tells what is removed, and what is made in a new directory', async () => {
    const { next } = await start([]);
    rmSync(join(folder, 'src/a.js'));
    expect(await next()).toEqual(['src/a.js']);
    mkdirSync(join(folder, 'lib'));
    writeFileSync(join(folder, 'lib/c.js'), '1');
    expect(await next()).toEqual(['lib/c.js']);
  });

  it('does not tell what git ignores, nor what no glob matches', async () => {
    const { next } = await start(['*.js', '*.out']);
    writeFileSync(join(folder, 'src/x.out'), '1');
    writeFileSync(join(folder, 'src/x.css'), '1');
    writeFileSync(join(folder, 'src/z.js'), '1');
    expect(await next()).toEqual(['src/z.js']);
  });

  it('tells of a file that was named, wherever it is', async () => {
    const file = join(folder, 'env.out');
    const { next } = await start(['src'], [file]);
    writeFileSync(file, 'A=1');
    expect(await next()).toEqual(['env.out']);
  });
});
