/*
 * ARCHITECTURE.md shows the whole of src/, a line a file: fails for a file that it lacks, and for one that is gone.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** The files that a tree drawn with two blanks a level names. @param {string} text */
function filesOf(text) {
  /** @type {string[]} */
  const path = [];
  /** @type {string[]} */
  const files = [];
  for (const line of text.split('\n').filter(line => line !== '')) {
    const [, indent = '', name = ''] = /^( *)(\S+)/.exec(line) ?? [];
    path.splice(indent.length / 2);
    if (name.endsWith('/')) path.push(name.slice(0, -1));
    else files.push([...path, name].join('/'));
  }
  return files;
}

const tree = /\n```\n(src\/\n[\s\S]*?)```/.exec(readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8'))?.[1] ?? '';
const named = new Set(filesOf(tree));
const real = new Set(
  readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter(file => /\.c?ts$/.test(file))
    .map(file => `src/${file}`),
);
const faults = [
  ...[...real].filter(file => !named.has(file)).map(file => `ARCHITECTURE.md lacks ${file}`),
  ...[...named].filter(file => !real.has(file)).map(file => `ARCHITECTURE.md names ${file}, which is not there`),
];
for (const fault of faults) process.stderr.write(`${fault}\n`);
process.exitCode = faults.length === 0 ? 0 : 1;
