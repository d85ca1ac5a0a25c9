/*
 * What `import 'relisten'` costs over an empty script, whole process against whole process, in turns.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DIST, goal, quantile } from './goal.js';

const ROUNDS = 40;

/** Milliseconds of a Node process that runs this file. @param {string} file */
function time(file) {
  const started = performance.now();
  spawnSync(process.execPath, [file], { stdio: 'ignore' });
  return performance.now() - started;
}

const folder = mkdtempSync(join(tmpdir(), 'relisten-bench-'));
const scripts = { empty: join(folder, 'empty.mjs'), full: join(folder, 'full.mjs') };
writeFileSync(scripts.empty, '');
writeFileSync(scripts.full, `import ${JSON.stringify(pathToFileURL(`${DIST}/index.js`).href)};`);
const empty = [];
const full = [];
for (let round = 0; round < ROUNDS; round++) {
  empty.push(time(scripts.empty));
  full.push(time(scripts.full));
}
rmSync(folder, { recursive: true });
goal("import 'relisten', over an empty script, median", quantile(full) - quantile(empty), 'ms', { atMost: 5 });
