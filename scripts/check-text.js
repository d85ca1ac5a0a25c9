/*
 * What must not stand in a tracked file, whatever its language: a table of patterns, where they count, and why.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** @type {{ pattern: RegExp, where: RegExp, except?: RegExp, why: string }[]} */
const RULES = [
  {
    pattern: /(?<![\w.~-])\/(?:root|work|farm|home\/\w+|Users\/\w+|tmp\/wt)\//,
    where: /./,
    why: 'a path of one machine',
  },
  { pattern: /https?:\/\/[^\s"'`]*(?:registry|artifactory|verdaccio)\b/, where: /./, why: 'the host of a registry' },
  { pattern: /"resolved": "http/, where: /package-lock\.json$/, why: 'the host of a registry' },
  { pattern: /\b(?:TO[D]O|FIX[M]E|XX[X])\b/, where: /^(?:src|test|bench|scripts|examples)\//, why: 'a mark for later' },
  {
    pattern: /@ts-(?:ignore|nocheck|expect-error)|biome[-]ignore/,
    where: /^(?:src|test|bench)\//,
    why: 'a check switched off',
  },
  {
    pattern: /\b(?:it|test|describe)\.(?:skip|only|todo)\b/,
    where: /^test\//,
    why: 'a test that does not run; see test/tools.ts',
  },
  { pattern: /\bprocess\.exit\(/, where: /^src\//, except: /^src\/cli\//, why: 'an exit outside src/cli/' },
];

/** Every fault, a line each. @param {string} root */
function checkText(root) {
  const listed = spawnSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' });
  if (listed.status !== 0) return [];
  return listed.stdout
    .split('\0')
    .filter(Boolean)
    .flatMap(file => {
      const rules = RULES.filter(({ where, except }) => where.test(file) && !except?.test(file));
      return faultsOf(file, readText(join(root, file)), rules);
    });
}

/** Empty for a file that was removed but is still tracked. @param {string} path */
function readText(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** @param {string} file @param {string} text @param {typeof RULES} rules */
function faultsOf(file, text, rules) {
  return text.split('\n').flatMap((line, index) => {
    // A comment names what it talks about.
    const code = line.replace(/^\s*(?:\*|\/\/|\/\*).*/, comment => comment.replace('process.exit(', ''));
    return rules.filter(({ pattern }) => pattern.test(code)).map(({ why }) => `${file}:${index + 1}: ${why}`);
  });
}

const faults = checkText(dirname(dirname(fileURLToPath(import.meta.url))));
for (const fault of faults) process.stderr.write(`${fault}\n`);
process.exitCode = faults.length === 0 ? 0 : 1;
