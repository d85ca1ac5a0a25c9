import { setFlagsFromString } from 'node:v8';
import { call } from './libc.ts';

/**
 * Gives memory that the C library keeps for later back to the system (malloc_trim(3)). glibc keeps what a thread that has
 * ended had allocated; other libraries have no such call, and do not need it.
 */
export function trimHeap(): void {
  try {
    call('malloc_trim', [0]);
  } catch {
    // musl: koffi finds no such function.
  }
}

/** From here on V8 collects garbage early instead of growing: for a process that mostly waits. */
export function keepHeapSmall(): void {
  setFlagsFromString('--optimize-for-size');
}
