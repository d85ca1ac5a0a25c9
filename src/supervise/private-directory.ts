import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/*
 * A supervisor's private directory, which its generations find in RELISTEN_DIR. It belongs to the user that they run as,
 * who may be another than ours, and could put symbolic links and directories there under any name. So nothing is opened,
 * made or given away below it: what we have to say is written beside it, where only we may write, and renamed into it;
 * what is there is only looked for and unlinked (neither follows a link).
 */

/** What of the file system is a supervisor's own (see Claim), and might be another's by now, where it was removed. */
export interface Home {
  /** What the supervisor is called. */
  readonly name: string;
  /** The private directory. */
  readonly directory: string;
  /** Whether it is still ours: where it is not, nothing is written and nothing removed. */
  readonly isIntact: boolean;
}

/**
 * Makes it, with mode 0700. One that a killed supervisor left is used again: its generation may still look there.
 *
 * @param uid of the user that it is for, if not ours
 * @throws the file system's error
 */
export function makePrivateDirectory(path: string, uid?: number): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
  if (uid === undefined) return;
  chownSync(path, uid, -1);
  // Others may pass, and see no names.
  chmodSync(dirname(path), 0o711);
}

/** Names of what is made beside the directory, one a generation. */
type Beside = `notify-${number}` | `ready-${number}`;
const BESIDE = /^(notify|ready)-\d+$/;

/** Where a thing is made, or kept, that is ours alone. */
export function beside(directory: string, name: Beside): string {
  return `${directory}.${name}`;
}

/** A text for all who look into the directory; renamed into it by {@link moveInto}. @throws the file system's error */
export function writeBeside(directory: string, name: Beside, text: string): void {
  const path = beside(directory, name);
  rmSync(path, { force: true });
  writeFileSync(path, text, { mode: 0o644, flag: 'wx' });
}

/** @throws the file system's error, such as EISDIR where somebody has made a directory of that name */
export function moveInto(directory: string, name: Beside, newName: string): void {
  renameSync(beside(directory, name), join(directory, newName));
}

/** Removes a file, a socket or a link, if it can be. */
export function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It is gone, or a directory that its user has made.
  }
}

/** Removes the directory and what is beside it. Directories that its user has made there stay, for him to remove. */
export function removePrivateDirectory(directory: string): void {
  const [parent, own] = [dirname(directory), `${basename(directory)}.`];
  for (const name of namesIn(parent))
    if (name.startsWith(own) && BESIDE.test(name.slice(own.length))) unlinkQuietly(join(parent, name));
  for (const name of namesIn(directory)) unlinkQuietly(join(directory, name));
  try {
    rmdirSync(directory);
  } catch {
    // It is gone, or not empty.
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
