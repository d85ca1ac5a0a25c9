import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { invalidArgument, RelistenError } from '../errors.ts';

/** An entry of passwd(5). */
export interface User {
  name: string;
  uid: number;
  gid: number;
  home: string;
  shell: string;
}

/**
 * The user of that name or number in /etc/passwd.
 *
 * @throws RelistenError where there is none, or we may not become it
 */
export function findUser(given: string): User {
  const users = readFileSync('/etc/passwd', 'utf8').split('\n').map(parseLine);
  const user = users.find(entry => entry?.name === given || String(entry?.uid) === given);
  if (!user) throw invalidArgument('user', given, 'a name or number of /etc/passwd');
  const own = process.geteuid?.();
  if (own !== 0 && own !== user.uid) {
    throw new RelistenError(`Cannot run the command as ${user.name}: only root may become another user`, {
      code: 'EPERM',
      op: 'setuid',
    });
  }
  return user;
}

/**
 * Whether the user may get at a file or directory: search permission on every directory above, and read permission on
 * itself (path_resolution(7)). Supplementary groups and access control lists are not looked at.
 */
export function mayRead(path: string, { uid, gid }: User): boolean {
  const wanted = (given: string, bit: number) => {
    const stat = statSync(given, { throwIfNoEntry: false });
    if (!stat) return false;
    const shift = stat.uid === uid ? 6 : stat.gid === gid ? 3 : 0;
    return uid === 0 || ((stat.mode >> shift) & bit) !== 0;
  };
  const above = (given: string): boolean => given === '/' || (wanted(dirname(given), 1) && above(dirname(given)));
  return above(path) && wanted(path, 4);
}

function parseLine(line: string): User | undefined {
  const [name, , uid, gid, , home = '/', shell = '/bin/sh'] = line.split(':');
  if (!name || !uid || !gid) return undefined;
  return { name, uid: Number(uid), gid: Number(gid), home, shell };
}
