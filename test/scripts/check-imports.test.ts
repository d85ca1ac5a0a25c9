import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkImports } from '../../scripts/check-imports.js';

let src: string;
beforeEach(() => {
  src = mkdtempSync(join(tmpdir(), 'src-'));
});
afterEach(() => rmSync(src, { recursive: true }));

/** What is wrong with a source tree of these files. */
function faults(files: Record<string, string>): string[] {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(src, file)), { recursive: true });
    writeFileSync(join(src, file), text);
  }
  return checkImports(src);
}

test('imports that go down are in order', () => {
  expect(
    faults({
      'cli/main.ts': "import { run } from '../supervise/run.ts'; import 'commander';",
      'supervise/run.ts': "import { listen } from '../listen.ts'; export const run = listen;",
      'listen.ts': "import { bind } from './kernel/socket.ts'; export const listen = bind;",
      'kernel/socket.ts':
        "import { createRequire } from 'node:module'; createRequire('')('koffi'); export const bind = 1;",
    }),
  ).toEqual([]);
});

test.each([
  ['a value', "import { a } from '../cli/main.ts';"],
  ['a type', "import type { A } from '../cli/main.ts';"],
  ['a type in place', "export type B = import('../cli/main.ts').A;"],
  ['a re-export', "export * from '../cli/main.ts';"],
  ['a lazy import', "export const b = () => import('../cli/main.ts');"],
])('%s from a higher row is a fault', (_name, text) => {
  expect(faults({ 'cli/main.ts': 'export const a = 1;', 'kernel/fd.ts': text })).toEqual([
    'kernel/fd.ts imports cli/main.ts: imports go down, not up',
  ]);
});

test('files that import each other are a fault, unless the compiler erases one of the two', () => {
  const files = { 'bind/a.ts': "import './b.ts';", 'bind/b.ts': "import './a.ts';" };
  expect(faults(files)).toEqual(['Files import each other: bind/a.ts → bind/b.ts → bind/a.ts']);
  expect(faults({ ...files, 'bind/b.ts': "import type { A } from './a.ts';" })).toEqual([]);
});

test('folders of one row that import each other are a fault, also by types', () => {
  expect(
    faults({ 'drain/a.ts': "import '../handoff/b.ts';", 'handoff/b.ts': "import type { C } from '../drain/c.ts';" }),
  ).toEqual(['Folders import each other: drain → handoff → drain']);
});

test('a package out of its room is a fault', () => {
  expect(faults({ 'drain/a.ts': "import koffi from 'koffi';" })).toEqual(['drain/a.ts imports koffi: only kernel may']);
});

test('a package that importing relisten would load is a fault', () => {
  expect(faults({ 'index.ts': "export * from './listen.ts';", 'listen.ts': "import 'some-package';" })).toEqual([
    'listen.ts loads some-package when index.ts is imported: load it lazily',
  ]);
});

test('a folder that no row has is a fault', () => {
  expect(faults({ 'index.ts': "import './helpers/a.ts';" })).toEqual([
    'helpers/a.ts is in no room that scripts/check-imports.js knows',
  ]);
});
