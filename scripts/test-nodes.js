#!/usr/bin/env node
/*
 * `npm run test:nodes [22 24 26 [-- vitest arguments]]`: the test suite on other versions of Node, each taken from npm into
 * a cache folder. One table at the end; fails if one of them fails.
 */
import { spawnSync } from 'node:child_process';
import { delimiter, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeOf } from './node-of.js';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const DEFAULT_VERSIONS = ['22', '24', '26'];

const given = process.argv.slice(2);
const asked = given.filter(argument => /^\d+$/.test(argument));
const vitestArguments = given.filter(argument => !/^\d+$/.test(argument) && argument !== '--');

const rows = (asked.length > 0 ? asked : DEFAULT_VERSIONS).map(version => {
  const node = nodeOf(version);
  const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  console.log(`\n── Node ${stdout.trim()}`);
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` };
  const test = spawnSync(node, ['scripts/test.js', '--no-checks', ...vitestArguments], {
    cwd: ROOT,
    env,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 2],
  });
  process.stdout.write(test.stdout);
  return { version: stdout.trim(), ok: test.status === 0, line: test.stdout.trim().split('\n').at(-1) };
});

console.log();
for (const { version, ok, line } of rows) console.log(`${version.padEnd(10)} ${ok ? 'ok    ' : 'FAILED'} ${line}`);
process.exitCode = rows.every(row => row.ok) ? 0 : 1;
