import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect } from 'vitest';
import { Supervised } from '../system/harness.ts';
import { needs } from '../tools.ts';
import { ask } from './ask.ts';

/*
 * `npm install` may replace relisten's files while it runs.
 */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { test } = needs('linux');

let copy = '';
beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'copy-'));
  cpSync(join(ROOT, 'dist'), join(copy, 'dist'), { recursive: true });
  cpSync(join(ROOT, 'package.json'), join(copy, 'package.json'));
  mkdirSync(join(copy, 'node_modules'));
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies)) {
    symlinkSync(join(ROOT, 'node_modules', name), join(copy, 'node_modules', name));
  }
});
afterEach(() => rmSync(copy, { recursive: true }));

test('GET /metrics says so where it cannot load what measures, and measures once it can', async () => {
  await using run = new Supervised(['sleep', '60'], {
    program: join(copy, 'dist/cli/main.js'),
    args: ['--name', 'web'],
  });
  await run.event('spawned');
  const path = join(run.runtime, 'relisten/web.sock');
  await run.until(() => existsSync(path));
  renameSync(join(copy, 'node_modules'), join(copy, 'away'));
  for (let asked = 0; asked < 2; asked++) {
    expect(await ask(path, 'GET', '/metrics')).toMatchObject({
      status: 500,
      text: expect.stringMatching(/Cannot load what measures: Cannot find module 'prom-client'; are its files being/),
    });
  }
  renameSync(join(copy, 'away'), join(copy, 'node_modules'));
  expect(await ask(path, 'GET', '/metrics')).toMatchObject({ status: 200, text: expect.stringMatching(/name="web"/) });
  expect(await run.stop()).toMatchObject({ left: [] });
});

/** Only for a command of its own, or as soon as relisten starts. */
const NOT_LATE = /^cli\/(commands|main|prove)|adopt\.js|watch\.js/;

/** What modules of a running relisten import when they need it. */
function lateImports(): string[] {
  const files = ['cli', 'control', 'supervise', 'bind', 'inspect'].flatMap(room =>
    readdirSync(join(copy, 'dist', room), { recursive: true, encoding: 'utf8' }).map(file => join(room, file)),
  );
  return files
    .filter(file => file.endsWith('.js') && !NOT_LATE.test(file))
    .flatMap(file => {
      const text = readFileSync(join(copy, 'dist', file), 'utf8');
      return [...text.matchAll(/\bimport\(["'](\.[^"']+)["']\)/g)].map(([, path = '']) => join(dirname(file), path));
    })
    .filter(file => !NOT_LATE.test(file));
}

test('all else that it may need late is loaded before', async () => {
  const late = lateImports();
  expect(late).toContain('inspect/examine.js');
  const url = (file: string) => JSON.stringify(pathToFileURL(join(copy, 'dist', file)));
  const script = `
    const [{ loadTheRest }] = [await import(${url('cli/late.js')}), await import(${url('cli/supervise.js')})];
    await Promise.all([import(${url('control/server.js')}), import(${url('cli/reach.js')})]);
    await loadTheRest();
    const { writeFileSync } = await import('node:fs');
    for (const file of ${JSON.stringify(late)}) {
      writeFileSync(${JSON.stringify(join(copy, 'dist'))} + '/' + file, "throw new Error('of another version')");
    }
    await Promise.all([${late.map(file => `import(${url(file)})`).join(', ')}]);
    console.log('all there');`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  expect(stdout).toBe('all there\n');
});
