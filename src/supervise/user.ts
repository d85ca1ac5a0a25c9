import { readFileSync } from 'node:fs';
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

function parseLine(line: string): User | undefined {
  const [name, , uid, gid, , home = '/', shell = '/bin/sh'] = line.split(':');
  if (!name || !uid || !gid) return undefined;
  return { name, uid: Number(uid), gid: Number(gid), home, shell };
}
