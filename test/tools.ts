import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { release } from 'node:os';
import { delimiter, join } from 'node:path';
import { describe, expect, test } from 'vitest';

/** What a machine may lack beside programs; each answers whether it is here. */
export const CONDITIONS = {
  linux: () => process.platform === 'linux',
  root: () => process.getuid?.() === 0,
  /** A network namespace of one's own, as root or in a user namespace. */
  netns: () => spawnSync('unshare', ['-n', 'true']).status === 0,
  systemd: () => isExecutable('/lib/systemd/systemd'),
};

/** `root`, `netns`, `systemd`, `linux`, a kernel at least as new as `linux 6.8`, or the name of a program. */
export type Tool = keyof typeof CONDITIONS | (string & {});

/**
 * `test` and `describe` for what needs tools that not every machine has.
 *
 * Where one is missing they skip and say why on stderr; in CI, where all must be there, a test fails that names it.
 *
 * @example const { test, describe } = needs('nginx', 'root');
 */
export function needs(...tools: Tool[]) {
  const missing = tools.filter(tool => !isHere(tool));
  const lacking = missing.length > 0;
  if (lacking && process.env.CI) test(`this machine has ${tools.join(', ')}`, () => expect(missing).toEqual([]));
  else if (lacking) console.warn(`Skipped for lack of ${missing.join(', ')}`);
  return { test: test.skipIf(lacking), describe: describe.skipIf(lacking) };
}

function isHere(tool: Tool): boolean {
  if (tool in CONDITIONS) return CONDITIONS[tool as keyof typeof CONDITIONS]();
  const [, major, minor] = /^linux (\d+)\.(\d+)$/.exec(tool) ?? [];
  if (major) return CONDITIONS.linux() && isKernelOf(Number(major), Number(minor));
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some(folder => isExecutable(join(folder, tool)));
}

function isKernelOf(major: number, minor: number): boolean {
  const [ours = 0, oursMinor = 0] = release().split('.').map(Number);
  return ours > major || (ours === major && oursMinor >= minor);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
