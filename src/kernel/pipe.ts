import { O_CLOEXEC } from './constants.ts';
import { call } from './libc.ts';

/** A pipe (pipe(7)), both ends CLOEXEC and the caller's to close. */
export function pipe(): { read: number; write: number } {
  const pair = new Int32Array(2);
  call('pipe2', [pair, O_CLOEXEC]);
  return { read: pair[0] ?? -1, write: pair[1] ?? -1 };
}
