/*
 * What `import 'relisten'` costs over an empty script, whole process against whole process, in turns.
 */
import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { DIST, goal, quantile } from './goal.js';

const ROUNDS = 40;

/** Milliseconds of a Node process that runs this module. @param {string} script */
function time(script) {
  const started = performance.now();
  spawnSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' });
  return performance.now() - started;
}

const script = `import ${JSON.stringify(pathToFileURL(`${DIST}/index.js`).href)}`;
const empty = [];
const full = [];
for (let round = 0; round < ROUNDS; round++) {
  empty.push(time(''));
  full.push(time(script));
}
goal("import 'relisten', over an empty script, median", quantile(full) - quantile(empty), 'ms', { atMost: 5 });
