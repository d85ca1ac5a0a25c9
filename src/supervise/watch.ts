import { relative } from 'node:path';
import { watch as chokidar } from 'chokidar';
import { Watched } from './watched.ts';

/** Changes come in groups: an editor writes twice, a compiler many files. */
const QUIET_MS = 100;
/** Where it never is quiet. */
const LONGEST_MS = 2_000;

export interface WatchOptions {
  /** Absolute. */
  directory: string;
  /** See {@link Watched}. */
  globs: readonly string[];
  /** Watched whatever the globs say, absolute. */
  files?: readonly string[];
  /** Files have changed, and for a moment no other did. Relative to the directory, the first one first. */
  onChange(paths: string[]): void;
  /** Something cannot be watched. */
  onError(error: Error): void;
}

/**
 * Watches files.
 *
 * @returns resolves when everything is watched, with how many files; and the end of it
 */
export function watch(options: WatchOptions): { ready: Promise<number>; close(): Promise<void> } {
  const { directory, globs, files } = options;
  const watched = new Watched(directory, globs, files);
  const changed = new Set<string>();
  let quiet: NodeJS.Timeout | undefined;
  let longest: NodeJS.Timeout | undefined;
  const tell = () => {
    clearTimeout(quiet);
    clearTimeout(longest);
    longest = undefined;
    const paths = [...changed];
    changed.clear();
    options.onChange(paths);
  };
  const watcher = chokidar(watched.starts, {
    ignoreInitial: true,
    ignorePermissionErrors: true,
    ignored: (path, stats) => stats !== undefined && !(stats.isDirectory() ? watched.enters(path) : watched.has(path)),
  });
  watcher.on('all', (event, path) => {
    if (event === 'addDir' || event === 'unlinkDir' || !watched.has(path)) return;
    changed.add(relative(directory, path));
    clearTimeout(quiet);
    quiet = setTimeout(tell, QUIET_MS);
    longest ??= setTimeout(tell, LONGEST_MS);
  });
  watcher.on('error', error => options.onError(error instanceof Error ? error : new Error(String(error))));
  const ready = new Promise<number>(fulfil => {
    watcher.on('ready', () => fulfil(countFiles(watcher.getWatched())));
  });
  return {
    ready,
    async close() {
      clearTimeout(quiet);
      clearTimeout(longest);
      await watcher.close();
    },
  };
}

function countFiles(watched: Record<string, string[]>): number {
  const directories = new Set(Object.keys(watched));
  let count = 0;
  for (const [directory, names] of Object.entries(watched)) {
    for (const name of names) if (!directories.has(`${directory}/${name}`)) count++;
  }
  return count;
}
