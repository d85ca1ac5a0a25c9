import { statSync } from 'node:fs';
import { resolve } from 'node:path';

/** confstr(3), _CS_PATH. */
const DEFAULT_PATH = '/bin:/usr/bin';

/**
 * The files that a command may mean, as execvp(3) looks for it: the first that can be executed is it.
 *
 * @param cwd what relative directories of the path start from
 * @param path PATH of its environment
 */
export function findCommand(file: string, cwd: string, path = DEFAULT_PATH): string[] {
  if (file.includes('/')) return [file];
  if (file === '') return [];
  const candidates = path.split(':').map(directory => `${directory || '.'}/${file}`);
  return candidates.filter(candidate => isFile(resolve(cwd, candidate)));
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false; // not there, or in a directory that we may not search
  }
}
