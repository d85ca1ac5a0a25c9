import { codeOf } from './errno.ts';
import { call } from './libc.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Takes the exclusive advisory lock of an open file (flock(2)). It belongs to the open file description, and ends with
 * it: the kernel frees the lock of a process that was killed.
 *
 * @returns false where another description holds it
 */
export function tryLock(fd: number): boolean {
  try {
    call('flock', [fd, LOCK_EX | LOCK_NB], `${fd}, LOCK_EX | LOCK_NB`);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EWOULDBLOCK' || codeOf(error) === 'EAGAIN') return false;
    throw error;
  }
}
