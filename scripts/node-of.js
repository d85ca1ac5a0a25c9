/*
 * Other versions of Node, each taken from npm into a cache folder.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CACHE = join(dirname(dirname(fileURLToPath(import.meta.url))), 'node_modules/.cache/nodes');

/** Path of a Node of that major version; installs it first if need be. @param {string} version */
export function nodeOf(version) {
  const folder = join(CACHE, version);
  const name = `node-${process.platform}-${process.arch}`;
  const path = join(folder, 'node_modules', name, 'bin/node');
  if (existsSync(path)) return path;
  const options = ['--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync('npm', ['install', '--prefix', folder, ...options, `${name}@${version}`], {
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) throw new Error(`npm has no Node ${version} for ${process.platform}-${process.arch}`);
  return path;
}
