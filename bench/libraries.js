/*
 * What is compared has dependencies of its own, which nobody else needs: bench/node_modules.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export function installLibraries() {
  const folder = fileURLToPath(new URL('.', import.meta.url));
  const { status } = spawnSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', '--no-save'], {
    cwd: folder,
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) throw new Error('npm install failed: see above');
}
