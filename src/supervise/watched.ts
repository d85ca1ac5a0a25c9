import { statSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import ignore, { type Ignore } from 'ignore';
import { GitIgnore } from './gitignore.ts';

/** Never a reason to restart, unless a glob names them: what programs, editors and version control write. */
const NOISE = [
  ...['.git/', '.hg/', '.svn/', 'node_modules/', '.DS_Store'],
  ...['__pycache__/', '*.pyc', '.venv/', '.pytest_cache/', '.mypy_cache/', '.ruff_cache/'],
  ...[
    '*.log',
    '*.pid',
    '*.sock',
    '*.sqlite-journal',
    '*.sqlite-wal',
    '*.sqlite-shm',
    '*.db-journal',
    '*.db-wal',
    '*.db-shm',
  ],
  ...['*.swp', '*.swo', '*.swx', '4913', '*~', '.#*', '#*#', '*.tmp', '.goutputstream-*', '*.crswap'],
];

/** Globs below one directory. */
interface Place {
  root: string;
  /** The directories and files that are watched. */
  starts: string[];
  matches: Ignore;
  /** The user named what git ignores: then git has no say. */
  named: boolean;
}

/**
 * Which files `--watch` means. `src` is that directory or file; with a wildcard it is a pattern of gitignore(5), so that
 * `*.ts` is every such file at any depth; `!…` takes out. Without any it is everything.
 *
 * | path                                        | no glob   | glob matches                       |
 * |---------------------------------------------|-----------|------------------------------------|
 * | .git, node_modules, logs, editors' files, … | no        | only where the glob starts in them |
 * | ignored by git                              | no        | only where the glob starts in it   |
 * | anything else                               | yes       | yes                                |
 */
export class Watched {
  readonly #places: Place[];
  readonly #git: GitIgnore;
  readonly #noise = ignore().add(NOISE);
  readonly #files: ReadonlySet<string>;
  /** Where those are, or will be. */
  readonly #directories: ReadonlySet<string>;
  /** What `!…` takes out. */
  readonly #exceptions: Ignore;
  readonly #directory: string;

  /**
   * @param directory absolute; what globs are relative to
   * @param files absolute paths, watched whatever ignores them
   */
  constructor(directory: string, globs: readonly string[], files: readonly string[] = []) {
    this.#git = new GitIgnore(directory);
    this.#files = new Set(files);
    this.#directories = new Set(files.map(nearestDirectory));
    this.#directory = directory;
    this.#exceptions = ignore().add(globs.flatMap(glob => (glob.startsWith('!') ? [glob.slice(1)] : [])));
    const wanted = globs.filter(glob => !glob.startsWith('!'));
    this.#places = placesOf(directory, wanted.length > 0 ? wanted : ['.']).map(place => ({
      ...place,
      named: this.#isNamed(place),
    }));
  }

  /** Directories to start at: a file may be replaced, and what is missing may come. */
  get starts(): string[] {
    const starts = this.#places.flatMap(place => place.starts);
    return [...new Set([...starts.map(nearestDirectory), ...this.#directories])];
  }

  /** Whether to look into a directory. */
  enters(path: string): boolean {
    if (this.#directories.has(path)) return true;
    return this.#places.some(place => isInside(place, path) && !this.#isLeftOut(place, path, true));
  }

  /** Whether a change of the file is a reason to restart. */
  has(path: string): boolean {
    if (this.#files.has(path)) return true;
    return this.#places.some(place => {
      const inside = relative(place.root, path);
      if (inside === '' || inside.startsWith('..') || !place.matches.ignores(inside)) return false;
      return !this.#isLeftOut(place, path, false);
    });
  }

  #isLeftOut(place: Place, path: string, isDirectory: boolean): boolean {
    const inside = relative(this.#directory, path);
    const within = inside !== '' && !inside.startsWith('..');
    if (within && this.#exceptions.ignores(inside + (isDirectory ? '/' : ''))) return true;
    if (place.named) return false;
    return this.#isNoise(place.root, path, isDirectory) || this.#git.ignores(path, isDirectory);
  }

  #isNoise(root: string, path: string, isDirectory: boolean): boolean {
    const inside = relative(root, path);
    if (inside === '' || inside.startsWith('..')) return false;
    return this.#noise.ignores(inside + (isDirectory ? '/' : ''));
  }

  #isNamed({ root, starts }: Omit<Place, 'named'>): boolean {
    return starts.every(start => this.#isNoise(root, start, true) || this.#git.ignores(start, true));
  }
}

function nearestDirectory(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return path;
  return nearestDirectory(dirname(path));
}

function isInside({ starts }: Place, path: string): boolean {
  return starts.some(start => path === start || path.startsWith(`${start}/`) || start.startsWith(`${path}/`));
}

function placesOf(directory: string, globs: readonly string[]): Omit<Place, 'named'>[] {
  return globs.map(glob => {
    const start = resolve(directory, fixedPart(glob));
    const outside = glob.startsWith('/') || glob.startsWith('..');
    const root = outside ? dirname(start) : directory;
    const isPath = !WILD.test(glob);
    const pattern = outside || isPath ? `/${relative(root, resolve(directory, glob))}` : glob.replace(/^\.\//, '/');
    return { root, starts: [start], matches: ignore().add(pattern === '/' ? '**' : pattern) };
  });
}

const WILD = /[*?[\]\\]/;

/** The path before the first part with a wildcard. A pattern without a slash matches at every level (gitignore(5)). */
function fixedPart(glob: string): string {
  const parts = glob.split('/');
  const wild = parts.findIndex(part => WILD.test(part));
  if (wild === -1) return glob;
  return parts.slice(0, wild).join('/') || (glob.startsWith('/') ? '/' : '.');
}
