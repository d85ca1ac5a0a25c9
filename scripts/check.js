#!/usr/bin/env node
/*
 * Every check that is not a test. `npm run check` runs them all on what is built; `npm test` runs them before the tests.
 */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Name → command; those of node_modules/.bin are found by name. @type {Record<string, [string, ...string[]]>} */
const CHECKS = {
  types: ['tsc', '-p', 'tsconfig.json'],
  'lint and format': ['biome', 'check', '--error-on-warnings', '.'],
  'imports and layers': ['node', 'scripts/check-imports.js'],
  'tree in ARCHITECTURE.md': ['node', 'scripts/check-tree.js'],
  'paths, hosts and marks': ['node', 'scripts/check-text.js'],
  'unused code and dependencies': ['knip'],
  'package shape': ['publint', '--strict'],
  'links of the documentation': ['typedoc', '--emit', 'none'],
  'types of the package': ['attw', '--pack', '.', '--profile', 'esm-only'],
};

/** Runs the checks, two at a time; answers the names of those that failed. Their output goes to stderr. */
export async function check() {
  const waiting = Object.entries(CHECKS);
  /** @type {string[]} */
  const failed = [];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [name, command] = next;
      const started = performance.now();
      const { ok, output } = await run(command);
      if (!ok) failed.push(name);
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      process.stderr.write(`check: ${name}: ${ok ? 'ok' : 'FAILED'} (${seconds} s)\n${ok ? '' : output}`);
    }
  };
  await Promise.all([work(), work()]);
  return failed;
}

/** @param {[string, ...string[]]} command @returns {Promise<{ ok: boolean, output: string }>} */
function run([program, ...args]) {
  const env = { ...process.env, PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}` };
  return new Promise(done => {
    const child = spawn(program, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk));
    child.on('error', error => done({ ok: false, output: `${error.message}\n` }));
    child.on('close', code => done({ ok: code === 0, output }));
  });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const failed = await check();
  process.exitCode = failed.length === 0 ? 0 : 1;
}
