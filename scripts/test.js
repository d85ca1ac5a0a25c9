#!/usr/bin/env node
/*
 * `npm test`: set up → build → check → test → look for what the tests left behind. Arguments go to vitest, but for
 * `--no-checks`.
 * The last line of the output is `N passed, N failed, N skipped`; a check that fails counts as one failed.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.js';
import { leftFiles, leftProcesses } from './leftovers.js';
import { setup } from './setup.js';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const BIN = join(ROOT, 'node_modules/.bin');
const args = process.argv.slice(2);

setup('tests');
const failures = [];
if (!build()) failures.push('build');
if (!args.includes('--no-checks')) failures.push(...(await (await import('./check.js')).check()));
const counts = runTests(args.filter(arg => arg !== '--no-checks'));
for (const failure of failures) console.error(`FAILED: ${failure}`);
const failed = counts.failed + failures.length;
console.log(`${counts.passed} passed, ${failed} failed, ${counts.skipped} skipped`);
process.exitCode = failed === 0 && counts.passed > 0 ? 0 : 1;

/**
 * Runs vitest with temporary files in a folder of its own, and with a mark in its environment that every process it
 * starts inherits.
 * @param {string[]} args
 */
function runTests(args) {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'rl-')));
  chmodSync(folder, 0o755); // Some servers run as another user, and have a folder of their own below.
  const results = join(folder, 'results.json');
  const mark = `RELISTEN_TEST_RUN=${process.pid}-${Date.now()}`;
  const [name = '', value] = mark.split('=');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`];
  const { status } = spawnSync(join(BIN, 'vitest'), ['run', ...reporters, ...args], {
    cwd: ROOT,
    env: { ...process.env, TMPDIR: folder, [name]: value },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const counts = countsOf(results);
  const left = [...leftProcesses(mark), ...leftFiles(folder).filter(file => file !== results)];
  for (const item of left) failures.push(`left behind by the tests: ${item}`);
  // A file that cannot be loaded, or an error outside every test, fails vitest without failing a test.
  if (status !== 0 && counts.failed === 0) counts.failed = 1;
  rmSync(folder, { recursive: true, force: true });
  return counts;
}

/** @param {string} results where vitest wrote its report */
function countsOf(results) {
  try {
    /** @type {{ testResults: { assertionResults: { status: string }[] }[] }} */
    const { testResults } = JSON.parse(readFileSync(results, 'utf8'));
    const statuses = testResults.flatMap(file => file.assertionResults.map(result => result.status));
    const passed = statuses.filter(status => status === 'passed').length;
    const failed = statuses.filter(status => status === 'failed').length;
    return { passed, failed, skipped: statuses.length - passed - failed };
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
}
