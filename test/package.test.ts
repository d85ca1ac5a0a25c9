import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** A folder of somebody who installed the package as it would be published, with its dependencies. */
let user: string;
let installed: string;
let files: string[];

beforeAll(async () => {
  user = mkdtempSync(join(tmpdir(), 'user-'));
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', user], { cwd: root });
  const [{ filename, files: listed }] = JSON.parse(stdout.slice(stdout.indexOf('[')));
  files = listed.map(({ path }: { path: string }) => path);
  installed = join(user, 'node_modules/relisten');
  mkdirSync(installed, { recursive: true });
  await run('tar', ['-xzf', join(user, filename), '-C', installed, '--strip-components=1']);
  for (const name of Object.keys(manifest.dependencies)) {
    const target = join(user, 'node_modules', name);
    mkdirSync(dirname(target), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), target);
  }
});

afterAll(() => rmSync(user, { recursive: true }));

test('the package has the code, its types and its documents, and nothing else', () => {
  const top = new Set(files.map(file => file.split('/')[0]));
  expect([...top].sort()).toEqual([
    'ARCHITECTURE.md',
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'dist',
    'docs',
    'package.json',
  ]);
  expect(files.filter(file => file.startsWith('docs/api/'))).toEqual([]);
  expect(files.filter(file => file.startsWith('dist/') && !/\.(c?js|d\.c?ts)$/.test(file))).toEqual([]);
});

test('its command runs', async () => {
  const { stdout } = await run(join(installed, manifest.bin.relisten), ['--version'], { cwd: user });
  expect(stdout.trim()).toBe(manifest.version);
});

test('its exports can be imported by the names that the README uses', async () => {
  const script = "console.log(JSON.stringify(Object.keys(await import('relisten'))))";
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: user });
  expect(JSON.parse(stdout)).toEqual(expect.arrayContaining(['listen', 'drain', 'inspect', 'RelistenError']));
});
