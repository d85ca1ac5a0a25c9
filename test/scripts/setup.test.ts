import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PROGRAMS } from '../../scripts/setup.js';
import { CONDITIONS } from '../tools.ts';

const tests = new URL('..', import.meta.url).pathname;

test('setting up installs every program that a test needs', () => {
  const files = readdirSync(tests, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.test.ts'));
  const named = files.flatMap(file => {
    const calls = readFileSync(join(tests, file), 'utf8').match(/\bneeds\([^)]*\)|\btools: \[[^\]]*\]/g) ?? [];
    return calls.flatMap(call => call.match(/(?<=')[\w./-]+(?=')/g) ?? []);
  });
  const known = [...Object.keys(PROGRAMS), ...Object.keys(CONDITIONS)];
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter(tool => !known.includes(tool))).toEqual([]);
});
