#!/usr/bin/env node
/*
 * `npm run bench [name …]`: sets up, builds, and runs the benchmarks of bench/, each a file that can run on its own and
 * prints a line for each number.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.js';
import { setup } from './setup.js';

const BENCH = join(dirname(dirname(fileURLToPath(import.meta.url))), 'bench');

/** Parts of benchmarks. */
const PARTS = ['crowd', 'goal', 'hello', 'libraries'];

/** Only when it is asked for: it takes the better part of an hour. */
const LONG = ['restart'];

setup('bench');
if (!build()) throw new Error('The build failed: see above');
const known = readdirSync(BENCH)
  .filter(file => file.endsWith('.js'))
  .map(file => file.slice(0, -3))
  .filter(name => !PARTS.includes(name));
const asked = process.argv.slice(2);
const missing = asked.filter(name => !known.includes(name));
if (missing.length > 0) throw new Error(`No such benchmark: ${missing.join(', ')}; there are ${known.join(', ')}`);
for (const name of asked.length > 0 ? asked : known.filter(name => !LONG.includes(name))) {
  console.log(`── ${name}`);
  const { status } = spawnSync(process.execPath, [join(BENCH, `${name}.js`)], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) process.exitCode = 1;
}
