import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import ignore, { type Ignore } from 'ignore';

/**
 * What git ignores below a directory (gitignore(5)): .gitignore of the repository's root and of every directory on the
 * way, the deeper one last, and .git/info/exclude. Without a repository, those of the directory and below. Read once
 * each: an edit of .gitignore takes a restart of relisten.
 */
export class GitIgnore {
  readonly #top: string;
  readonly #rules = new Map<string, Ignore | undefined>();

  /** @param directory absolute */
  constructor(directory: string) {
    this.#top = repositoryOf(directory) ?? directory;
  }

  /** Whether a path, or a directory that it is in, is ignored. Paths outside are not. */
  ignores(path: string, isDirectory: boolean): boolean {
    const inside = relative(this.#top, path);
    if (inside === '' || inside.startsWith('..')) return false;
    const names = inside.split(sep);
    return names.some((_, index) =>
      this.#ignoresOne(names.slice(0, index + 1), isDirectory || index < names.length - 1),
    );
  }

  #ignoresOne(names: string[], isDirectory: boolean): boolean {
    let ignored = false;
    for (let depth = 0; depth < names.length; depth++) {
      const rules = this.#rulesIn(join(this.#top, ...names.slice(0, depth)), depth === 0);
      const below = names.slice(depth);
      // A deeper .gitignore has taken the parent in again, or we would not ask.
      if (below.length > 1 && rules?.ignores(`${below.slice(0, -1).join('/')}/`)) continue;
      const verdict = rules?.test(below.join('/') + (isDirectory ? '/' : ''));
      if (verdict?.ignored) ignored = true;
      else if (verdict?.unignored) ignored = false;
    }
    return ignored;
  }

  #rulesIn(directory: string, isTop: boolean): Ignore | undefined {
    if (this.#rules.has(directory)) return this.#rules.get(directory);
    const files = [...(isTop ? [join(directory, '.git/info/exclude')] : []), join(directory, '.gitignore')];
    const texts = files.flatMap(file => read(file) ?? []);
    const rules = texts.length === 0 ? undefined : ignore().add(texts.join('\n'));
    this.#rules.set(directory, rules);
    return rules;
  }
}

function repositoryOf(directory: string): string | undefined {
  if (existsSync(join(directory, '.git'))) return directory;
  const parent = dirname(directory);
  return parent === directory ? undefined : repositoryOf(parent);
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
