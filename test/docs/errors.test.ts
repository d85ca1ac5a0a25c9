import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const src = new URL('../../src', import.meta.url).pathname;
const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');

test('docs/errors.md says for each code of our own what to do, and knows no other', () => {
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'));
  const thrown = files.flatMap(file => readFileSync(join(src, file), 'utf8').match(/(?<=')ERR_[A-Z_]+(?=')/g) ?? []);
  const explained = page.match(/(?<=^\| `)ERR_[A-Z_]+/gm) ?? [];
  expect(new Set(explained)).toEqual(new Set(thrown));
});
